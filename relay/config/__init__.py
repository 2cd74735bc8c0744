"""What the operator may decide: one TOML file, environment variables over it, secrets also from files.

Each table is one model whose descriptions are also the reference documentation (`reference`) and the remedies in error
messages: three texts that would otherwise drift apart.

The modules, each knowing only those before it: problems; values; tables; recipes; storefronts, what all of them have;
kinds, each with its table; settings, all tables together; known, the list of keys; errors; secret_files; loading.

No secret leaves this package except as a ``SecretStr``: errors are built outside ``except`` blocks, so that no
exception that has seen the input hangs on them as context, and what might be a misspelt secret is not shown.
"""

from relay.config.kinds import Kind, Registry, kind_of, registered
from relay.config.known import keys, reference
from relay.config.loading import load
from relay.config.problems import ConfigError, Problem
from relay.config.secret_files import Secrets, current_api_token, current_secrets
from relay.config.settings import Settings
from relay.config.storefronts import Storefront
from relay.config.tables import Channel
from relay.config.values import Address

__all__ = [
    "Address",
    "Channel",
    "ConfigError",
    "Kind",
    "Problem",
    "Registry",
    "Secrets",
    "Settings",
    "Storefront",
    "current_api_token",
    "current_secrets",
    "keys",
    "kind_of",
    "load",
    "reference",
    "registered",
]
