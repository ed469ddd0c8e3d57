"""A linter for ALTO: what is wrong with a document or a server, and the clause that says so."""

from alto.lint.document import lint_document

__all__ = ["lint_document"]
