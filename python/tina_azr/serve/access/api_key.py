"""Where the key comes from: the environment or a file, never the command line, which other users of the machine can read."""

import os
from pathlib import Path

from tina_azr.errors import ConfigError

VARIABLE = "TINA_AZR_API_KEY"


def find_key(file: Path | None) -> str | None:
    """The key that clients must send, or None. Raises ConfigError for one that no client could send."""
    if file is None:
        where, text = VARIABLE, os.environ.get(VARIABLE)
        if text is None:
            return None
    else:
        where = str(file)
        try:
            text = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: the key cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(f"{where}: a key is one word of printable ASCII characters; this one is empty or has others in it")
    return text
