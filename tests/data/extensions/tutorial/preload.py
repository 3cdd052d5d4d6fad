"""Runs before everything else: flags of our own."""


def preload(parser):
    parser.add_argument("--tutorial-word", default="hello", help="A word that the tutorial writes into texts.")
