"""From what the user writes to what the denoiser is conditioned on.

The way of a prompt, each stop one file:

    styles          StyleDatabase, apply, extract        saved pieces of prompt, kept by style_files
    comments        strip_comments                       from # to the end of the line
    extra_networks  parse_extra_networks, parse_batch    <lora:name:0.8>
    composition     split_and, compose                   one AND another :0.5
    schedules       prompt_schedule                      [before:after:when], [one|other]
    attention       parse_attention                      (more:1.2), [less], BREAK
    tokenizer       ClipTokenizer (bpe: Vocabulary)      text to token numbers
    chunks          chunk_prompt, count_tokens, EmbeddingMatcher, TokenSequenceMatcher
    old_emphasis    chunk_old_emphasis                   for old seeds
    emphasis        EMPHASIS_MODES, find_emphasis        weights on vectors
    towers          TextTower, make_towers               an encoder, its tokenizer, its layer
    size_vector     size_numbers, embed_numbers          the numbers that SDXL wants
    text_options    TextOptions                          settings of a job for its prompts
    text_encoding   encode_texts, TextSystem             texts to tensors
    conditioning    PromptConditioner, Pass, UncondSchedule, CondSchedule
    counter         count_prompt                         (used, capacity) for the page

In use:

    conditioner = PromptConditioner(model)            # lives as long as the model
    options = TextOptions(emphasis="Original", clip_skip=1)
    texts, networks = parse_batch(strip_comments(p) for p in prompts)
    cond = conditioner.cond(texts, Pass(steps), options)
    uncond = conditioner.uncond(negative_prompts, Pass(steps), options)
    cond.at(step).rows, cond.at(step).parts, uncond.at(step)      # step: calls of the denoiser, from 0

All parsers read their text in linear time, without recursion, and never fail: what does not parse
is taken literally.
"""
