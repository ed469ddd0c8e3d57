"""A linter for ALTO: what is wrong with a document or a server, and the clause that says so."""

from alto.lint.asking import ServerFinding
from alto.lint.document import lint_document
from alto.lint.server import Report, lint_server

__all__ = ["Report", "ServerFinding", "lint_document", "lint_server"]
