"""How a fault of this package is logged: its type and where it happened, without messages, which may quote a prompt or a thought."""

import logging
import traceback

logger = logging.getLogger("tina_azr.serve")


def log_fault(error: BaseException, what: str) -> None:
    """Write the frames of an exception, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    where = "\n".join(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    logger.error(
        "%s failed with %s; its message is left out, for it may quote a conversation\n%s", what, type(error).__name__, where
    )
