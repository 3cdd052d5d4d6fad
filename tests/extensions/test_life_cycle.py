"""Installing, updating, saving and removing extensions, all against real git repositories on disk."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from modules.errors import Forbidden, NotFound
from modules.extensions.addresses import check_branch, check_folder, check_url, folder_of, require_access
from modules.extensions.catalogue import Catalogue
from modules.extensions.config_states import ConfigStates
from modules.extensions.index import fetch_index, index_address, read_index
from modules.extensions.installing import Installation, remove_extension
from modules.extensions.repository import ExtensionError, proxy_sentence
from modules.launcher.extensions import ExtensionChoice
from modules.launcher.git import Git, head_commit
from tests.launcher.repositories import Source, git, make_source


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return make_source(tmp_path / "sources" / "painter", "scripts/painter.py")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "data" / "extensions"


def catalogue_of(home: Path, **choice: object) -> Catalogue:
    found = Catalogue(home, home.parent / "builtin", lambda: ExtensionChoice(**choice))  # type: ignore[arg-type]
    found.refresh()
    return found


def left_behind(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir()) if home.is_dir() else []


def test_an_extension_is_installed_from_an_address_and_told_about(source: Source, home: Path) -> None:
    said: list[str] = []
    folder = Installation(home, progress=said.append).install(source.url)
    assert folder.name == "painter" and (home / "painter" / "scripts" / "painter.py").is_file()
    assert left_behind(home) == ["painter"]
    extension = catalogue_of(home).get("painter")
    extension.read_info_from_repo()
    assert (extension.commit_hash, extension.branch) == (source.commits[1], "main")
    assert extension.remote == source.url and extension.commit_date and not extension.is_builtin
    assert "Cloning" in "".join(said)


def test_a_branch_and_a_folder_can_be_chosen(source: Source, home: Path) -> None:
    source.git("branch", "old", source.commits[0])
    Installation(home).install(f" {source.url} ", " old ", "mine")
    assert head_commit(home / "mine") == source.commits[0]


def test_submodules_are_left_out(source: Source, home: Path, tmp_path: Path) -> None:
    inner = make_source(tmp_path / "sources" / "inner")
    source.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.url, "inner")
    source.git("commit", "-q", "-m", "Add a submodule")
    Installation(home).install(source.url)
    assert (home / "painter" / "inner").is_dir() and not list((home / "painter" / "inner").iterdir())


def test_the_same_extension_is_not_installed_twice(source: Source, home: Path) -> None:
    Installation(home).install(source.url)
    with pytest.raises(ExtensionError, match="installed already, as painter"):
        Installation(home).install(source.url + "/", folder="again")
    with pytest.raises(ExtensionError, match="in the folder painter already"):
        Installation(home).install(source.url)
    assert left_behind(home) == ["painter"]


def test_a_failed_clone_leaves_nothing_and_names_the_proxy(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / ".git").mkdir(parents=True)
    proxied = Git(environ={"PATH": "/usr/bin:/bin", "https_proxy": "http://user:secret@proxy.local:3128"})
    with pytest.raises(ExtensionError) as caught:
        Installation(home, proxied).install(str(broken))
    sentence = str(caught.value)
    assert "proxy.local:3128 (from https_proxy)" in sentence and "secret" not in sentence
    assert "\n" not in sentence and str(broken) in sentence and "try again" in sentence
    assert left_behind(home) == []


def test_an_unknown_branch_is_one_sentence(source: Source, home: Path) -> None:
    with pytest.raises(ExtensionError, match=r"at nowhere cannot be installed: .*nowhere"):
        Installation(home).install(source.url, "nowhere")
    assert left_behind(home) == []


def test_no_git_is_one_sentence(source: Source, home: Path) -> None:
    with pytest.raises(ExtensionError, match="Install git, or name it in GIT"):
        Installation(home, Git("no-such-git")).install(source.url)
    assert left_behind(home) == []


def test_a_failing_install_script_takes_the_extension_back(source: Source, home: Path) -> None:
    seen = []

    def fail(folder: object) -> str:
        seen.append(folder)
        return "no compiler (code 1)"

    with pytest.raises(ExtensionError, match=r"install\.py failed: no compiler"):
        Installation(home, run_installer=fail).install(source.url)
    assert seen and left_behind(home) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "--upload-pack=x",
        "file:///etc",
        "/etc",
        "ext::sh -c touch% /tmp/x",
        "ftp://host/name",
        "https:///name",
        "https://host/na me",
        "name",
        "https://host/\x00",
    ],
)
def test_bad_addresses_are_refused(url: str, home: Path) -> None:
    with pytest.raises(ExtensionError) as caught:
        Installation(home).install(url)
    assert "\n" not in str(caught.value) and not home.exists()


@pytest.mark.parametrize(
    "branch", ["../../x", "-x", "a b", "a..b", "x.lock", "/x", "x/", "@{1}", "a\x07", "~1"]
)
def test_bad_branches_are_refused(branch: str) -> None:
    with pytest.raises(ExtensionError, match="not the name of a branch"):
        check_branch(branch)


def test_good_addresses_branches_and_names_pass(source: Source) -> None:
    assert check_url("https://host/group/name.git") == "https://host/group/name.git"
    assert check_url("git@host:group/name.git") == "git@host:group/name.git"
    assert check_url(str(source.folder)) == str(source.folder)
    assert check_branch("release/1.2") == "release/1.2" and check_branch(" ") is None
    assert folder_of("https://host/group/name.git/") == "name" == folder_of("git@host:name.git")


@pytest.mark.parametrize("name", ["..", ".git", "a/b", "a\\b", "__x", "x.", "-x", "a:b", "x" * 300])
def test_bad_folders_are_refused(name: str) -> None:
    with pytest.raises(ExtensionError):
        check_folder(name)


def test_changing_extensions_needs_local_access_or_the_flag() -> None:
    require_access(Namespace(disable_extension_access=False))
    with pytest.raises(Forbidden, match="--enable-insecure-extension-access"):
        require_access(Namespace(disable_extension_access=True))


def test_updates_are_found_and_taken(source: Source, home: Path) -> None:
    Installation(home).install(source.url)
    catalogue = catalogue_of(home)
    assert catalogue.check_updates() == {} and catalogue.get("painter").status == "latest"
    (source.folder / "new.txt").write_text("new")
    source.git("add", "-A")
    source.git("commit", "-q", "-m", "Third")
    assert catalogue.check_updates() == {}
    extension = catalogue.get("painter")
    assert extension.can_update and extension.status == "new commits"
    assert head_commit(home / "painter") == source.commits[1], "looking changes nothing"
    assert catalogue.update(["painter"]) == {}
    assert extension.commit_hash == source.git("rev-parse", "HEAD") and not extension.can_update


def test_an_edited_extension_is_not_overwritten_by_an_update(source: Source, home: Path) -> None:
    Installation(home).install(source.url)
    edited = home / "painter" / "scripts" / "painter.py"
    edited.write_text("mine")
    failed = catalogue_of(home).update(["painter"])
    assert "changed file(s), first scripts/painter.py" in failed["painter"] and edited.read_text() == "mine"
    catalogue_of(home).get("painter").fetch_and_reset_hard(source.commits[0])
    assert head_commit(home / "painter") == source.commits[0] and "1" in edited.read_text()


def test_a_vanished_remote_is_one_sentence_and_the_others_go_on(source: Source, home: Path) -> None:
    Installation(home).install(source.url)
    Installation(home).install(source.url + "/.git", folder="second")
    git(home / "second", "remote", "set-url", "origin", (home / "gone").as_uri())
    catalogue = catalogue_of(home)
    failed = catalogue.check_updates()
    assert set(failed) == {"second"} and "second" in failed["second"] and "\n" not in failed["second"]
    assert catalogue.get("painter").status == "latest"


def test_a_saved_state_comes_back_with_its_commits(source: Source, home: Path, tmp_path: Path) -> None:
    Installation(home).install(source.url)
    disabled: list[list[str]] = []
    states = ConfigStates(tmp_path / "states", tmp_path, catalogue_of(home), disabled.append)
    path = states.save("before: the / change")
    saved = json.loads(path.read_text())
    assert saved["extensions"]["painter"]["commit_hash"] == source.commits[1]
    states.catalogue.get("painter").checkout(source.commits[0])
    (home / "later").mkdir()
    again = ConfigStates(tmp_path / "states", tmp_path, catalogue_of(home), disabled.append)
    (label,) = again.saved()
    assert again.restore(label) == []
    assert head_commit(home / "painter") == source.commits[1] and disabled == [["later"]]


def test_a_state_that_cannot_be_restored_says_so(source: Source, home: Path, tmp_path: Path) -> None:
    Installation(home).install(source.url)
    disabled: list[list[str]] = []
    states = ConfigStates(tmp_path / "states", tmp_path, catalogue_of(home), disabled.append)
    wanted = {
        "painter": {"enabled": False, "commit_hash": "0" * 40},
        "absent": {"remote": "https://host/absent", "enabled": True},
    }
    problems = states.restore_extensions(wanted)
    assert len(problems) == 2 and "painter" in problems[0] and "https://host/absent" in problems[1]
    assert disabled == [["painter"]] and head_commit(home / "painter") == source.commits[1]
    with pytest.raises(NotFound):
        states.restore("no such state")
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "damaged.json").write_text("{")
    assert states.saved() == {}


def test_removal_takes_read_only_files_too(source: Source, home: Path) -> None:
    Installation(home).install(source.url)
    remove_extension(home / "painter")
    assert left_behind(home) == []


def test_metadata_orders_and_asks(home: Path) -> None:
    for name, text in {
        "alpha": "[Extension]\nRequires = beta",
        "beta": "",
        "gamma": "[Extension]\nRequires = missing|other, beta",
        "delta": "no section",
    }.items():
        (home / name).mkdir(parents=True)
        (home / name / "metadata.ini").write_text(text)
    catalogue = catalogue_of(home, disabled=frozenset({"delta"}))
    assert [row.name for row in catalogue.active()] == ["beta", "alpha", "gamma"]
    text = "\n".join(catalogue.problems)
    assert "gamma requires missing or other, which is not installed" in text
    assert "metadata.ini cannot be read and is ignored" in text
    catalogue.disable_for_this_run("beta", "it is broken")
    assert [row.name for row in catalogue.active()] == ["alpha", "gamma"]
    assert catalogue.find(home / "beta" / "scripts" / "x.py") is catalogue.get("beta")
    assert catalogue.find("/elsewhere/x.py") is None
    with pytest.raises(NotFound):
        catalogue.get("nobody")


def test_disabling_everything_or_the_users_own(home: Path) -> None:
    (home / "mine").mkdir(parents=True)
    (home.parent / "builtin" / "theirs").mkdir(parents=True)
    (home.parent / "builtin" / "Mine").mkdir()
    assert [row.name for row in catalogue_of(home).active()] == ["Mine", "theirs"]
    assert any("not used" in text for text in catalogue_of(home).problems), "a double name is told"
    assert [row.name for row in catalogue_of(home, disable_all="extra").active()] == ["Mine", "theirs"]
    assert catalogue_of(home, disable_all="all").active() == []


def test_an_index_is_read_and_its_damage_told(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    rows = [{"name": "A", "url": "https://host/a", "tags": ["script"]}, {"name": 5}, "text"]
    path.write_text(json.dumps({"tags": {"script": "a script"}, "extensions": rows}))
    index = fetch_index(path.as_uri())
    assert [entry.name for entry in index.entries] == ["A"] and index.tags["script"] == "a script"
    with pytest.raises(ExtensionError, match="cannot be loaded"):
        fetch_index((tmp_path / "none.json").as_uri())
    with pytest.raises(ExtensionError, match="not an index"):
        read_index("[]")
    with pytest.raises(ExtensionError, match="not the address of an index"):
        fetch_index("data:,{}")
    assert index_address({"WEBUI_EXTENSIONS_INDEX": "x"}) == "x" and index_address({}).startswith("https://")


def test_without_a_proxy_the_sentence_says_so(tmp_path: Path) -> None:
    bare = Git(environ={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"})
    assert "No proxy is in use" in proxy_sentence(bare)
    configured = Git(environ={**dict(bare.environ or {}), "HOME": str(tmp_path)})
    (tmp_path / ".gitconfig").write_text("[http]\n\tproxy = http://p:1\n")
    assert "http://p:1 (from http.proxy of git)" in proxy_sentence(configured)
