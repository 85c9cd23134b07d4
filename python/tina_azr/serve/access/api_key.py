"""API key of the server, from the environment or a file. The command line is no source: other users can read it."""

import os
from pathlib import Path

from tina_azr.errors import ConfigError

VARIABLE = "TINA_AZR_API_KEY"


def find_key(file: Path | None) -> str | None:
    """Return the key that clients must send, or None. Raises ConfigError for a key that no client could send."""
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
        raise ConfigError(
            f"{where}: the API key is empty or has other characters than printable ASCII without spaces; choose another key"
        )
    return text
