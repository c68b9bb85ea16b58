"""mmcs: fine-tune CLIP-like models for cross-lingual image retrieval on artificially code-switched captions."""

__version__ = "0.1.0"
