"""A compiled chat template: renders what transformers renders, in a third of the time.

transformers compiles templates for Jinja's sandbox. Most of the time in which it renders a few turns goes into what is
the same for each row: variables are copied one by one, and the sandbox asks of each attribute whether it is safe.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from jinja2 import Environment, pass_context
from jinja2.filters import do_random
from jinja2.runtime import Context, LoopContext
from jinja2.utils import Namespace, generate_lorem_ipsum
from transformers.utils.chat_template_utils import _cached_compile_jinja_template

from lora_trainer.data.rows import NO_TOOLS, Toolset

_OF_DICT = frozenset(dir({}))
#: The sandbox hands out others than the text's own.
_FORMATTING = frozenset({"format", "format_map"})
_OF_LOOP = frozenset({"depth", "depth0", "first", "index", "index0", "last", "length", "revindex", "revindex0"})
_SCALARS = (str, bool, int, type(None))
#: So many tools are remembered as JSON, of each set of tools that a row offers.
_MOST_WRITTEN = 2048
_PLAIN = (str, bool, int, float, type(None), list, dict)


class CompiledTemplate:
    """A chat template with the variables that are the same for every conversation."""

    def __init__(self, source: str, variables: Mapping[str, Any]) -> None:
        """`variables` are given to the template beside the conversation.

        Raises:
            jinja2.TemplateError: the source is no template.
        """
        # Not the function with a cache around it: the environment is changed below.
        self._template = _cached_compile_jinja_template(source)
        self._environment: Environment = self._template.environment
        setattr(self._environment, "getattr", _attributes(self._environment))  # noqa: B010 - it is a method
        self._drawn = False
        self._environment.filters["random"] = self._random_filter()
        self._tools = NO_TOOLS
        self._environment.filters["tojson"] = self._json_filter(self._environment.filters["tojson"])
        self._variables = {**self._template.globals, "lipsum": self._lorem_ipsum, **variables}

    def render(self, turns: Sequence[Mapping[str, Any]], tools: Toolset, *, generation_prompt: bool) -> str:
        """Render the conversation as one text, or raise whatever a template may raise."""
        self._drawn = False
        self._tools = tools
        given = {
            **self._variables,
            "messages": turns,
            "tools": list(tools.functions) or None,
            "documents": None,
            "add_generation_prompt": generation_prompt,
        }
        template = self._template
        context = Context(self._environment, given, template.name, template.blocks, self._variables)
        try:
            return self._environment.concat(template.root_render_func(context))
        except Exception:
            self._environment.handle_exception()  # raises it again, with lines of the template

    def _seed(self) -> None:
        """Begin the draws of each rendering anew, so that a row does not depend on those before it."""
        if not self._drawn:
            random.seed(0)
            self._drawn = True

    def _random_filter(self) -> Callable[..., Any]:
        @pass_context
        def draw(context: Context, items: Sequence[Any]) -> Any:
            self._seed()
            return do_random(context, items)

        return draw

    def _json_filter(self, write: Callable[..., str]) -> Callable[..., str]:
        """Make a filter that remembers how it wrote the tools of a row, which no template can change."""

        def tojson(value: Any, *arguments: Any, **named: Any) -> str:
            options = (*arguments, *named.values())
            if id(value) not in self._tools.identities or not all(type(option) in _SCALARS for option in options):
                return write(value, *arguments, **named)
            key = (id(value), arguments, *named.items())
            written = self._tools.written
            if key not in written:
                if len(written) >= _MOST_WRITTEN:
                    written.clear()
                written[key] = write(value, *arguments, **named)
            return written[key]

        return tojson

    def _lorem_ipsum(self, *arguments: Any, **named: Any) -> str:
        self._seed()
        return generate_lorem_ipsum(*arguments, **named)


def _attributes(environment: Environment) -> Callable[[Any, str], Any]:
    """Make a lookup of attributes that gives what the sandbox's does, with its verdicts on the usual types remembered.

    What it says of a name depends on nothing but the object's type where that is exactly one of those below: a key of
    a dictionary that is no attribute of it, a method of a text, a figure of a loop, a plain value in a namespace.
    """
    careful = partial(type(environment).getattr, environment)
    is_safe = environment.is_safe_attribute  # type: ignore[attr-defined] # it is a sandbox
    of_text = frozenset(name for name in dir("") if is_safe("", name, None)) - _FORMATTING
    harmless: dict[type, frozenset[str]] = {str: of_text, LoopContext: _OF_LOOP}

    def lookup(owner: Any, name: str) -> Any:
        kind = type(owner)
        if kind is dict and name not in _OF_DICT:
            return owner[name] if name in owner else environment.undefined(obj=owner, name=name)
        if name in harmless.get(kind, ()):
            return getattr(owner, name)
        if issubclass(kind, Namespace) and not name.startswith("_"):
            value = getattr(owner, name, environment)
            if type(value) in _PLAIN:
                return value
        return careful(owner, name)

    return lookup
