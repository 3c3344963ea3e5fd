"""What can go wrong for a reader, in sentences: what is wrong, the numbers, what to do."""


class EngineError(Exception):
    """An expected mistake, told in a sentence a page can show as it is."""


class SiteError(EngineError):
    """A site that cannot be read, or that the model does not have."""


class ExperimentError(EngineError):
    """A field of an experiment that cannot be used as it stands."""


class Undecided(ExperimentError):
    """An answer and a distractor that no single token tells apart, where that is what is asked."""


class LinkError(EngineError):
    """A link or a JSON text that holds no experiment."""


class ModelError(EngineError):
    """A model that cannot be found, read, trusted or held in memory."""


class TokenError(EngineError):
    """A text that cannot be turned into tokens this model reads."""


class EmptyPrompt(TokenError):
    """A prompt without any token: nothing is asked yet."""


class NoSequence(EngineError):
    """A prompt without a sequence of terms that could be shown one by one."""


class NoWords(EngineError):
    """Words of which too few are one token each in this tokenizer."""


class Cancelled(EngineError):
    """Work that was called off, or replaced by a newer request from the same view."""


class NoNeurons(EngineError):
    """A model, or a layer, whose single neurons cannot be seen and changed."""
