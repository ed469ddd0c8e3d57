"""A linter for ALTO: what is wrong with a document or a server, and the clause that says so."""

from alto.lint.document import lint_document
from alto.lint.kinds import kind_of

__all__ = ["kind_of", "lint_document"]
