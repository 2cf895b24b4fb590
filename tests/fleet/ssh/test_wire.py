"""What fleet uses of paramiko without its being published is still there, and only one file uses it."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.ssh import wire
from fleet.ssh.inbox import Inbox
from fleet.ssh.wire import paramiko

ROOM = Path(wire.__file__).parent


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            paramiko.Transport,
            [
                "_preferred_ciphers",
                "_preferred_macs",
                "_channel_handler_table",
                "_send_user_message",
                "_send_message",
                "_parse_disconnect",
            ],
        ),
        (paramiko.Channel, ["_handle_request", "_window_adjust", "_request_failed", "_handle_eof", "_handle_close"]),
        (paramiko.packet.Packetizer, ["REKEY_BYTES", "REKEY_PACKETS", "start_handshake"]),
        (paramiko.Agent, ["_connect"]),
    ],
)
def test_the_names_are_still_there(owner: type, names: list[str]) -> None:
    missing = [name for name in names if not hasattr(owner, name)]
    assert not missing, f"{owner.__name__} of paramiko {paramiko.__version__} has no {missing}: adapt fleet/ssh/wire.py"


def test_what_is_overridden_is_still_used() -> None:
    """A name that nobody reads any more would be as bad as one that is gone."""
    transport = inspect.getsource(paramiko.Transport)
    for name in (
        "self._parse_disconnect(m)",
        "self.preferred_keys",
        "_preferred_{}",
        "self._channel_handler_table",
        "self.clear_to_send",
    ):
        assert name in transport
    channel = inspect.getsource(paramiko.Channel)
    for name in ("self.in_buffer.feed", "self.in_stderr_buffer.feed", "self.in_buffer.read", "self.in_buffer.close"):
        assert name in channel
    assert "start_handshake" in transport
    assert "self.REKEY_BYTES" in inspect.getsource(paramiko.packet.Packetizer)
    handlers = {wire.common.MSG_CHANNEL_REQUEST, wire.common.MSG_CHANNEL_WINDOW_ADJUST}
    handlers |= {wire.common.MSG_CHANNEL_FAILURE, wire.common.MSG_CHANNEL_EOF}
    handlers |= {wire.common.MSG_CHANNEL_CLOSE}
    assert handlers <= set(paramiko.Transport._channel_handler_table)


def test_ciphers_are_the_fast_and_sound_ones() -> None:
    assert wire.Wire._preferred_ciphers[0] == "aes128-gcm@openssh.com"
    assert set(wire.Wire._preferred_ciphers) <= set(paramiko.Transport._cipher_info)
    assert set(wire.Wire._preferred_macs) <= set(paramiko.Transport._mac_info)
    offered = " ".join((*wire.Wire._preferred_ciphers, *wire.Wire._preferred_macs))
    assert not [weak for weak in ("cbc", "3des", "md5", "sha1") if weak in offered]


def inside(text: str) -> list[str]:
    """Private attributes that a source takes from anything but itself."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    nodes = [node for node in nodes if node.attr.startswith("_") and not node.attr.startswith("__")]
    own = {"self", "cls"}
    return [node.attr for node in nodes if not (isinstance(node.value, ast.Name) and node.value.id in own)]


def test_one_file_reaches_inside() -> None:
    found = {path.name: inside(path.read_text()) for path in sorted(ROOM.glob("*.py"))}
    # A named tuple's method is public, whatever its name looks like.
    others = {name: set(names) - {"_replace"} for name, names in found.items() if name != "wire.py"}
    assert not {name: names for name, names in others.items() if names}
    assert "_send_user_message" in found["wire.py"]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("fleet.ssh", ["paramiko", "invoke", "fabric", "pydantic", "subprocess", "cryptography"]),
        ("fleet.ssh.opened", ["invoke", "fabric", "pydantic"]),
    ],
)
def test_imports_stay_cheap(root: Path, module: str, absent: list[str]) -> None:
    code = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert module in loaded
    assert not loaded & set(absent)


def test_invoke_can_be_imported_afterwards(root: Path) -> None:
    code = "import fleet.ssh.wire, fabric, invoke; print(fabric.Connection.__name__, invoke.Context.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout == "Connection Context\n", done.stderr


def test_signals_have_the_numbers_of_this_machine() -> None:
    for name, status in (("KILL", 137), ("TERM", 143), ("odd@openssh.com", 255), ("DFL", 255)):
        inbox = Inbox()
        inbox.died_of(name)
        assert inbox.status == status
