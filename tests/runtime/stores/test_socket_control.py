"""The socket beside a store: who may connect, where it lies, and that no visitor harms the others."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from millrace.actors.errors import NotPausedError, OwnerUnreachable, StoreError
from millrace.runtime.stores.control import MOST_BYTES, Answer, NobodyListens, Reply, Request, error_reply
from millrace.runtime.stores.sqlite import places, socket_control
from millrace.runtime.stores.sqlite.socket_control import SocketControl

PATIENCE = 20.0
PING = Request("ping")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "runs.db"


def echo(request: Request, answer: Answer) -> None:
    answer({"verb": request.verb, "run": request.run, "options": dict(request.options)})


@pytest.fixture
def control(database: Path) -> Iterator[SocketControl]:
    made = SocketControl(database)
    made.listen(echo)
    yield made
    made.close()


def place_of(database: Path) -> Path:
    return places.places_for(database)[0]


def visitor(database: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE)
    made.connect(str(place_of(database)))
    return made


# Asking.


def test_a_request_is_heard_and_answered(database: Path, control: SocketControl) -> None:
    request = Request("cancel", 7 << 96, {"text": "ä\n", "number": 1.5, "nothing": None})

    reply = SocketControl(database).ask(request)

    assert reply == {"verb": "cancel", "run": 7 << 96, "options": {"text": "ä\n", "number": 1.5, "nothing": None}}


def test_an_error_is_raised_as_what_it_is(database: Path) -> None:
    control = SocketControl(database)
    control.listen(lambda _request, answer: answer(error_reply(NotPausedError("misty-otter", "Running()"), "runs.db")))

    with pytest.raises(NotPausedError, match=r"^Cannot resume flow run 'misty-otter': .* it is Running\(\)\.$") as told:
        SocketControl(database).ask(PING)

    assert told.value.run == "misty-otter"
    control.close()


def test_an_error_of_somebody_elses_is_told_as_text(database: Path) -> None:
    control = SocketControl(database)
    control.listen(lambda _request, answer: answer(error_reply(ZeroDivisionError("by 0"), "runs.db")))

    with pytest.raises(StoreError, match=r"ZeroDivisionError: by 0"):
        SocketControl(database).ask(PING)
    control.close()


@pytest.mark.parametrize("kind", ["SystemExit", "os", "Signal", "MillraceErrors", "__builtins__"])
def test_only_errors_of_millrace_are_made_of_an_answer(database: Path, kind: str) -> None:
    control = SocketControl(database)
    reply: Reply = {"error": {"kind": kind, "text": "hello", "facts": {}}}
    control.listen(lambda _request, answer: answer(reply))

    with pytest.raises(Exception, match=r"^hello$") as told:
        SocketControl(database).ask(PING)

    assert type(told.value).__name__ == "MillraceError"
    control.close()


def test_nobody_listens_where_nobody_has_the_store_open(database: Path) -> None:
    with pytest.raises(NobodyListens):
        SocketControl(database).ask(PING)


def test_nobody_listens_after_the_owner_has_closed(database: Path) -> None:
    control = SocketControl(database)
    control.listen(echo)
    control.close()

    with pytest.raises(NobodyListens):
        SocketControl(database).ask(PING)
    assert not place_of(database).exists()


def test_an_owner_that_does_not_answer_is_told_from_one_that_is_over(database: Path) -> None:
    control = SocketControl(database)
    control.listen(lambda _request, _answer: None)

    with pytest.raises(OwnerUnreachable, match=r"it did not answer within 0\.01 seconds"):
        SocketControl(database).ask(PING, 0.01)
    control.close()


def test_an_owner_that_ends_before_it_answers_is_noticed(database: Path) -> None:
    control = SocketControl(database)
    heard = threading.Event()
    control.listen(lambda _request, _answer: heard.set())
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            SocketControl(database).ask(PING, None)
        except OwnerUnreachable as error:
            errors.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    assert heard.wait(PATIENCE)
    control.close()
    asker.join(PATIENCE)

    assert len(errors) == 1


# The place.


def test_only_the_user_may_connect(database: Path, control: SocketControl) -> None:
    status = place_of(database).lstat()

    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == os.geteuid()


def test_another_user_at_the_other_end_is_sent_away(
    database: Path, control: SocketControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "is_same_user", lambda _connection: False)

    with visitor(database) as connection, suppress(BrokenPipeError):
        connection.sendall(PING.to_line())
        assert read_to_end(connection) == b""


def test_a_socket_of_another_user_is_not_spoken_to(
    database: Path, control: SocketControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(NobodyListens):
        SocketControl(database).ask(PING)


def test_what_a_dead_owner_has_left_is_replaced(database: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(place_of(database)))
    left.close()
    with pytest.raises(NobodyListens):
        SocketControl(database).ask(PING)

    control = SocketControl(database)
    control.listen(echo)

    assert SocketControl(database).ask(PING)["verb"] == "ping"
    control.close()


def test_a_file_that_is_no_socket_is_left_alone(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    taken = place_of(database)
    taken.write_text("mine", encoding="utf-8")
    control = SocketControl(database)

    control.listen(echo)

    assert taken.read_text(encoding="utf-8") == "mine"
    assert SocketControl(database).ask(PING)["verb"] == "ping"  # at the other place
    control.close()


def test_the_socket_of_a_later_owner_is_not_removed(database: Path) -> None:
    first, second = SocketControl(database), SocketControl(database)
    first.listen(echo)
    second.listen(echo)

    first.close()

    assert SocketControl(database).ask(PING)["verb"] == "ping"
    second.close()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short place for the folder of the user."""
    made = Path(f"/tmp/mr{os.getpid()}")  # noqa: S108  # a path that is short is what this is about
    made.mkdir(mode=0o700)
    yield made
    for each in sorted(made.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
    made.rmdir()


def test_a_path_that_is_too_long_for_a_socket_is_gone_around(tmp_path: Path, temporary: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    database = folder / "runs.db"

    bound, place = places.bind(database, temporary)

    assert place.parent.parent == temporary
    assert len(os.fsencode(place)) <= 100
    assert stat.S_IMODE(place.parent.lstat().st_mode) == 0o700
    bound.listen()
    connection = places.connect(database, temporary)
    assert connection is not None
    connection.close()
    bound.close()


@pytest.mark.parametrize(
    "spoil",
    [lambda folder: folder.mkdir(mode=0o755), lambda folder: folder.symlink_to("/etc")],
    ids=["open to others", "a link"],
)
def test_a_folder_that_others_have_a_hand_in_is_not_used(
    tmp_path: Path, temporary: Path, spoil: Callable[[Path], None]
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    spoil(temporary / f"millrace-{os.getuid()}")

    with pytest.raises(PermissionError, match="is not a folder of this user's alone"):
        places.bind(folder / "runs.db", temporary)


def test_a_store_without_a_socket_goes_on(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_database: Path) -> tuple[socket.socket, Path]:
        raise OSError("no sockets here")

    monkeypatch.setattr(places, "bind", refuse)

    control = SocketControl(database)
    control.listen(echo)
    control.close()

    assert "cannot be cancelled, paused or resumed by other processes" in caplog.text


def test_two_paths_to_one_database_lead_to_one_socket(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)

    assert places.places_for(tmp_path / "link" / "runs.db") == places.places_for(real / "runs.db")


# Visitors.

GARBAGE = (
    b"\x00\xff\xfe\x80garbage\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\n",
    b"null\n",
    b"[]\n",
    b'{"verb": "ping"}\n',
    b'{"verb": 1, "run": null, "options": {}}\n',
    b'{"verb": "ping", "run": "-1", "options": {}}\n',
    b'{"verb": "ping", "run": "' + b"f" * 33 + b'", "options": {}}\n',
    b'{"verb": "ping", "run": null, "options": []}\n',
    b"[" * 200_000 + b"\n",
    b"1" * 10_000 + b"\n",
)


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_what_makes_no_sense_is_not_answered(database: Path, control: SocketControl, garbage: bytes) -> None:
    with visitor(database) as connection:
        connection.sendall(garbage)
        assert read_to_end(connection) == b""

    assert SocketControl(database).ask(PING)["verb"] == "ping"


def read_to_end(connection: socket.socket) -> bytes:
    found = b""
    try:
        while chunk := connection.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


def test_a_line_that_never_ends_is_cut_off(database: Path, control: SocketControl) -> None:
    with visitor(database) as connection:
        sent = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100 * MOST_BYTES:
                sent += connection.send(b"x" * 65536)

    assert sent < 10 * MOST_BYTES
    assert SocketControl(database).ask(PING)["verb"] == "ping"


def test_visitors_that_say_nothing_make_room_for_others(
    database: Path, control: SocketControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_control, "MOST_VISITORS", 3)
    silent = [visitor(database) for _ in range(10)]

    for _ in range(5):
        assert SocketControl(database).ask(PING)["verb"] == "ping"

    for connection in silent:
        connection.close()


def test_a_visitor_that_says_nothing_is_sent_away_in_time(
    database: Path, control: SocketControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_control, "HEARING_SECONDS", 0.01)

    with visitor(database) as connection:
        assert read_to_end(connection) == b""


def test_a_visitor_that_goes_before_the_answer_harms_nothing(database: Path) -> None:
    answers: list[Answer] = []
    heard = threading.Semaphore(0)

    def hear(request: Request, answer: Answer) -> None:
        if request.verb == "await":
            answers.append(answer)
            heard.release()
        else:
            echo(request, answer)

    control = SocketControl(database)
    control.listen(hear)
    for _ in range(3):
        with visitor(database) as connection:
            connection.sendall(Request("await", 1).to_line())
            assert heard.acquire(timeout=PATIENCE)
    for answer in answers:
        answer({})

    assert SocketControl(database).ask(PING)["verb"] == "ping"
    control.close()
    answers[0]({})  # after the end


def test_a_visitor_that_takes_no_answer_is_sent_away(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_control, "HEARING_SECONDS", 0.05)
    control = SocketControl(database)
    control.listen(lambda _request, answer: answer({"long": "x" * 5_000_000}))

    with visitor(database) as connection:
        connection.sendall(PING.to_line())
        assert connection.recv(1, socket.MSG_PEEK) == b"{"
        control.close()
        assert len(read_to_end(connection)) < 5_000_000


def test_a_request_that_takes_long_does_not_hold_up_others(database: Path) -> None:
    go_on = threading.Event()

    def hear(request: Request, answer: Answer) -> None:
        if request.verb == "slow":
            assert go_on.wait(PATIENCE)
        echo(request, answer)

    control = SocketControl(database)
    control.listen(hear)
    replies: list[Reply] = []
    slow = threading.Thread(target=lambda: replies.append(SocketControl(database).ask(Request("slow"), PATIENCE)))
    slow.start()

    assert SocketControl(database).ask(PING)["verb"] == "ping"
    assert replies == []
    go_on.set()
    slow.join(PATIENCE)
    assert len(replies) == 1
    control.close()
