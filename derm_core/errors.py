"""One class for each kind of error that a caller can act on; messages say what was wrong and what to do."""


class DermError(Exception):
    """Base of all expected failures: shown to the user as one sentence, never as a traceback."""


class ConfigError(DermError):
    """A setting is invalid: the message names field, value and what is allowed."""


class DataError(DermError):
    """A dataset cannot be read, recognised or used as asked."""


class ImageError(DermError):
    """One image was refused; the message says why."""


class WeightsUnavailable(DermError):
    """Pretrained weights cannot be found in the weights folder, the local cache or the hub."""


class BundleError(DermError):
    """A bundle is missing, tampered with, truncated or does not match its card."""


class RunError(DermError):
    """A run cannot be started, resumed, cancelled or read."""


class StorageError(DermError, OSError):
    """A file cannot be written: the disk is full, or permission is missing. Has `errno` as any OSError."""

    def __str__(self) -> str:
        return str(self.strerror)


class NotFound(DermError):
    """Nothing of that name in this workspace."""
