"""Recipes: how an operator says, in the configuration, what of a storefront's JSON goes where in a sale.

``mapping`` makes a sale of any JSON, ``override`` changes fields of a sale that a built-in source made, ``accept_when``
and ``ignore_when`` are yes or no. All are tables of JMESPath expressions, compiled when the relay starts and pure after
that. :func:`left_out` says what of an order a sale does not carry.
"""

from relay.core.recipe.compiling import Fault, RecipeError, compile_recipe
from relay.core.recipe.criterion import Criterion, compile_criterion
from relay.core.recipe.leftover import LeftOut, left_out
from relay.core.recipe.making import Facts, Recipe
from relay.core.recipe.override import Override, compile_override

__all__ = [
    "Criterion",
    "Facts",
    "Fault",
    "LeftOut",
    "Override",
    "Recipe",
    "RecipeError",
    "compile_criterion",
    "compile_override",
    "compile_recipe",
    "left_out",
]
