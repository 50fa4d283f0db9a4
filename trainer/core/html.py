"""HTML documents from jinja2 templates: every value is escaped, and the document loads nothing from anywhere."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: Path, **values) -> str:
    """A template with its values filled in.

    Args:
        template: A file. It may extend base.html, which lies beside this module and holds the reports' style.
        values: What the template names; a name without a value is an error.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(values)
