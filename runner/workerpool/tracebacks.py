"""An error as text for people: type, message, cause and the user's own frames, without code or file contents."""

import sysconfig
import traceback
from pathlib import Path
from types import FrameType
from typing import Final

from workerpool.errors import InvalidPayload
from workerpool.redaction import redact

MAX_MESSAGE: Final = 2000
"""Characters kept of one message: an error that quotes its whole payload must not be stored whole."""

MAX_FRAMES: Final = 5
OURS: Final = str(Path(__file__).parent)
LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def describe(error: BaseException) -> str:
    """``ValueError: out of stock``, one ``caused by`` line where there is a cause, and the innermost user frames.

    Secrets are masked. The text holds no NUL and no lone surrogate, so that any database takes it.
    """
    lines = [headline(error)]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"caused by {headline(cause)}")
    lines += [f"  at {frame}" for frame in user_frames(error)[-MAX_FRAMES:]]
    return "\n".join(lines)


def headline(error: BaseException) -> str:
    """Type and message on one line, secrets masked.

    An InvalidPayload without its type: what isn't valid is called so beside the text, whoever found it out.
    """
    words = _words(error)
    if words and type(error) is InvalidPayload:
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def message(error: BaseException) -> str:
    """The message alone, as dead-letter topics carry it; with its type where the message alone says nothing."""
    return headline(error) if isinstance(error, KeyError) else _words(error) or type(error).__name__


def user_frames(error: BaseException) -> list[str]:
    """``module:line in function`` of the user's frames, outermost first, and of a library frame that raised."""
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_users(frame)]
    return [
        f"{frame.f_globals.get('__name__', '?')}:{line} in {frame.f_code.co_name}"
        for index, (frame, line) in enumerate(frames)
        if index == len(frames) - 1 or not frame.f_code.co_filename.startswith(LIBRARIES)
    ]


def innermost(error: BaseException) -> str:
    """`` (shop/workers.py line 3)``: where the user's code failed, empty when no frame is the user's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename} line {error.lineno})"
    frames = traceback.walk_tb(error.__traceback__)
    places = [(frame.f_code.co_filename, line) for frame, line in frames if _is_users(frame)]
    return f" ({places[-1][0]} line {places[-1][1]})" if places else ""


def _is_users(frame: FrameType) -> bool:
    """Neither this package, nor the import system, nor code without a file (a dataclass's own methods)."""
    file = frame.f_code.co_filename
    return not file.startswith((OURS, "<")) and "importlib" not in Path(file).parts


def _words(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's own __str__
        return "(its message can't be shown: __str__ failed)"
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]}… ({len(text)} characters)"
    return redact(text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode())
