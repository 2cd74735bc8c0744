"""The configuration: what it takes, what it refuses and in which words, and that it keeps secrets."""

import dataclasses
import importlib
import json
import logging
import re
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

import pytest

from relay import config
from relay.app import _warnings
from relay.config import (
    Address,
    ConfigError,
    Kind,
    Problem,
    Settings,
    Storefront,
    current_secrets,
    keys,
    kind_of,
    known,
    registered,
)
from relay.config.kinds import found_in
from relay.config.kinds.native import NativeStorefront
from relay.config.kinds.shopify import ShopifyStorefront
from relay.core.breaker import BreakerPolicy
from relay.core.delivery import HeadStarts
from relay.core.pace import Mode, Pace
from relay.core.recipe import Criterion
from relay.core.retry import RetryPolicy
from relay.core.shaping import PLAIN
from relay.core.sources.bigcommerce import BigCommerceRules
from relay.core.sources.elasticpath import ElasticPathRules
from relay.core.sources.hmac_signed import HmacRules
from relay.core.sources.native import Native
from relay.core.sources.shopify import ShopifyRules
from relay.core.sources.squarespace import SquarespaceRules
from relay.core.sources.standard import StandardRules
from relay.core.sources.woocommerce import WooRules

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.toml"
REFERENCE = ROOT / "docs" / "reference" / "configuration.md"
SENTINEL = "hush-4f1c"
KNOWN = {key.name for key in keys()}
KINDS = ["bigcommerce", "elasticpath", "hmac", "native", "shopify", "squarespace", "standard", "woocommerce"]
STANDARD_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

RULES: dict[str, Any] = {
    "bigcommerce": BigCommerceRules,
    "elasticpath": ElasticPathRules,
    "hmac": HmacRules,
    "shopify": ShopifyRules,
    "squarespace": SquarespaceRules,
    "standard": StandardRules,
    "woocommerce": WooRules,
}
SIGNED = HmacRules(signed="{timestamp}.{id}.{body}", timestamp_header="X-Timestamp", id_header="X-Webhook-Id")
NOT_DEFAULT = [("mode", "sync"), ("signed", SIGNED.signed)]
"""What the example says better than the defaults do."""
OPEN = {"mapping", "override", "options", "types", "currency_decimals"}
"""Keys that hold a table of the operator's own."""

SMALL = """
[channels.main]
webhook_hash = "h4sh"
[storefronts.shop]
kind = "shopify"
channel = "main"
secrets = ["s3cret"]
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory has no config.toml, and relative paths end there."""
    monkeypatch.chdir(tmp_path)


def loaded(toml: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    Path("relay.toml").write_text(toml, encoding="utf-8")
    return config.load(Path("relay.toml"), environ or {})


def refused(toml: str = "", environ: Mapping[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        loaded(toml, environ)
    return caught.value.problems


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


def shopify(settings: Settings, name: str = "shop") -> ShopifyStorefront:
    storefront = settings.storefronts[name]
    assert isinstance(storefront, ShopifyStorefront)
    return storefront


def table(kind: str, *lines: str, secret: str = "s") -> str:  # noqa: S107 - made up
    """A configuration with one storefront more, called x."""
    keys_ = [f'kind = "{kind}"', 'channel = "main"', f'secrets = ["{secret}"]', *lines]
    return SMALL + "[storefronts.x]\n" + "\n".join(keys_) + "\n"


def secrets_of(settings: Settings, name: str = "shop") -> list[str]:
    return [secret.get_secret_value() for secret in settings.storefronts[name].secrets]


def hash_of(settings: Settings, name: str = "main") -> str | None:
    secret = settings.channels[name].webhook_hash
    return None if secret is None else secret.get_secret_value()


def paths(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[str]:
    """The keys of a configuration as `keys` writes them."""
    for key, value in values.items():
        path = (*above, "NAME" if above in {("channels",), ("storefronts",), ("private", "tokens")} else key)
        if isinstance(value, dict) and ".".join(path) not in KNOWN:
            yield from paths(value, path)
        elif isinstance(value, list) and ".".join(path) not in KNOWN:
            for table in value:
                yield from paths(table, path)
        else:
            yield ".".join(path)


class TestDefaults:
    def test_a_channel_and_a_storefront_need_three_lines_each(self) -> None:
        settings = loaded(SMALL).for_serving()
        assert hash_of(settings) == "h4sh"
        assert secrets_of(settings) == ["s3cret"]

    def test_the_parts_defaults_are_the_configurations_defaults(self) -> None:
        channel = loaded(SMALL).channels["main"]
        assert channel.pace == Pace()
        assert channel.retry.policy == RetryPolicy()
        assert channel.head_starts == HeadStarts()
        assert channel.breaker.policy == BreakerPolicy()
        assert channel.import_mode is Mode.ASYNC
        assert shopify(loaded(SMALL)).rules == ShopifyRules()

    @pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
    def test_every_rule_of_a_source_is_a_key_with_its_default_and_the_same_choices(self, rules: Any) -> None:
        kind = next(name for name, of_kind in RULES.items() if of_kind is rules)
        known = registered().kinds[kind].table.model_fields
        types = get_type_hints(rules)
        for rule in dataclasses.fields(rules):
            field = known[rule.name]
            plain = rules() if rule.default is dataclasses.MISSING else None
            assert field.get_default(call_default_factory=True) == (
                rule.default if plain is None else getattr(plain, rule.name)
            ), rule.name
            if get_origin(types[rule.name]) is Literal or types[rule.name] is bool:
                assert field.annotation == types[rule.name], rule.name

    def test_the_rules_of_each_kind_reach_its_source(self) -> None:
        settings = loaded(EXAMPLE.read_text(encoding="utf-8"))
        for storefront in settings.storefronts.values():
            source: Any = kind_of(storefront).source(storefront)
            if storefront.kind in RULES:
                rules = SIGNED if storefront.kind == "hmac" else RULES[storefront.kind]()
                assert source.rules == rules, storefront.kind

    def test_rules_reach_the_source_as_they_are_written(self) -> None:
        rules = shopify(loaded(SMALL + 'discounts = "net"\ntags = true\nfallback_email = "a@b"')).rules
        assert rules == ShopifyRules(discounts="net", tags=True, fallback_email="a@b")

    def test_the_private_listener_is_on_loopback(self) -> None:
        settings = loaded()
        assert settings.private.listen == Address("127.0.0.1", 9090)
        assert settings.public.listen == Address("0.0.0.0", 8080)

    def test_the_whole_policy_of_a_channel_can_be_set(self) -> None:
        toml = """
        [channels.main]
        mode = "sync"
        token = "t"
        channel_id = 7
        sync_rate = 0.5
        multiplier = 4
        burst = 3
        rate_floor = 0.2
        permanent_codes = ["api.x"]
        retry = { base_s = 2, factor = 3, cap_s = 60, max_age_s = 600 }
        breaker = { failures = 2, refusals = 3, probe_s = 4, probe_cap_s = 5, halt_probe_s = 6, halt_probe_cap_s = 7 }
        head_start = { new_s = 60, update_s = 30, replay_s = 10 }
        """
        channel = loaded(toml).channels["main"]
        assert channel.pace == Pace(sync_rate=0.5, multiplier=4, burst=3, floor=0.2)
        assert channel.retry.policy == RetryPolicy(2, 3, 60, 600)
        assert channel.breaker.policy == BreakerPolicy(2, 3, 4, 5, 6, 7)
        assert channel.head_starts == HeadStarts(60, 30, 10)
        assert channel.permanent_codes == ("api.x",)
        assert channel.import_mode is Mode.SYNC

    def test_storefronts_that_send_a_refused_webhook_again_give_way_before_the_limits(self) -> None:
        own = '[storefronts.own]\nkind = "native"\nchannel = "main"\nsecrets = ["n"]\n'
        settings = loaded(SMALL + "refuse_at = 0.5\n" + own)
        assert {name: storefront.refuse_at for name, storefront in settings.storefronts.items()} == {
            "shop": 0.5,
            "own": 0.8,
        }
        defaults = {name: kind.table.model_fields["refuse_at"].default for name, kind in registered().kinds.items()}
        assert defaults == dict.fromkeys(KINDS, 0.8) | {"woocommerce": 1.0}

    def test_settings_cannot_be_changed(self) -> None:
        settings = loaded(SMALL)
        with pytest.raises(ValueError, match="frozen"):
            settings.channels["main"].burst = 5  # type: ignore[misc]


class TestEnvironment:
    def test_it_goes_before_the_file_key_by_key(self) -> None:
        settings = loaded(SMALL + "[log]\nlevel = 'debug'\nformat = 'json'", {"RELAY_LOG__LEVEL": "error"})
        assert (settings.log.level, settings.log.format) == ("error", "json")

    def test_it_alone_can_be_the_configuration(self) -> None:
        environ = {
            "RELAY_STORE__URL": "memory:",
            "RELAY_CHANNELS__MAIN__WEBHOOK_HASH": "h4sh",
            "RELAY_CHANNELS__MAIN__RETRY__CAP_S": "60",
            "RELAY_CHANNELS__MAIN__BURST": "2",
            "RELAY_CHANNELS__MAIN__INSECURE_HTTP": "true",
            "RELAY_STOREFRONTS__SHOP__KIND": "shopify",
            "RELAY_STOREFRONTS__SHOP__CHANNEL": "main",
            "RELAY_STOREFRONTS__SHOP__SECRETS": '["new", "old"]',
        }
        settings = config.load(None, environ).for_serving()
        channel = settings.channels["main"]
        assert (hash_of(settings), channel.retry.cap_s, channel.burst, channel.insecure_http) == ("h4sh", 60, 2, True)
        assert secrets_of(settings) == ["new", "old"]
        assert settings.store.path is None

    def test_a_list_of_one_may_be_written_plainly(self) -> None:
        assert secrets_of(loaded(SMALL, {"RELAY_STOREFRONTS__SHOP__SECRETS": "one"})) == ["one"]

    def test_every_key_is_a_variable(self) -> None:
        values = tomllib.loads(uncommented(plain=True))
        environ: dict[str, str] = {}

        def put(table: Mapping[str, Any], variable: str) -> None:
            for key, value in table.items():
                name = f"{variable}__{key}".upper().replace("-", "_")
                if isinstance(value, dict) and key in OPEN and "storefronts" not in table:
                    environ[name] = json.dumps(value)
                elif isinstance(value, dict):
                    put(value, name)
                elif isinstance(value, list):
                    environ[name] = json.dumps(value)
                else:
                    environ[name] = str(value).lower() if isinstance(value, bool) else str(value)

        for section, table in values.items():
            put(table, f"RELAY_{section}")
        from_file, from_environment = loaded(uncommented(plain=True)), config.load(None, environ)
        renamed = {name.replace("-", "_"): table for name, table in from_file.storefronts.items()}
        assert from_environment == from_file.model_copy(update={"storefronts": renamed})

    def test_an_underscore_stands_for_the_hyphen_of_a_name_in_the_file(self) -> None:
        toml = '[channels.eu-west]\nwebhook_hash = "h"'
        settings = loaded(toml, {"RELAY_CHANNELS__EU_WEST__BURST": "3", "RELAY_CHANNELS__US__WEBHOOK_HASH": "u"})
        assert {name: channel.burst for name, channel in settings.channels.items()} == {"eu-west": 3, "us": 1}

    def test_names_that_are_the_same_variable_are_refused(self) -> None:
        toml = '[channels.eu-west]\nwebhook_hash = "h"\n[channels.eu_west]\nwebhook_hash = "h"'
        assert only(refused(toml)).key == "channels.eu_west"

    @pytest.mark.parametrize(
        ("variable", "near"),
        [
            ("RELAY_CHANELS__MAIN__BURST", "RELAY_CHANNELS__MAIN__BURST"),
            ("RELAY_CHANNELS__MAIN__BURTS", "RELAY_CHANNELS__MAIN__BURST"),
            ("RELAY_STORE__ULR", "RELAY_STORE__URL"),
            ("RELAY_LEVEL", "RELAY_LOG__LEVEL"),
        ],
    )
    def test_an_unknown_variable_is_an_error_that_names_the_nearest(self, variable: str, near: str) -> None:
        problem = only(refused(SMALL, {variable: "1"}))
        assert (problem.origin, problem.remedy) == (variable, f"did you mean {near}?")

    def test_variables_that_others_set_are_no_errors(self) -> None:
        others = ["RELAY_CONFIG", "RELAY_FIXTURES", "RELAY_PORT", "RELAY_PORT_8080_TCP_ADDR", "RELAY_SERVICE_HOST"]
        assert loaded(SMALL, dict.fromkeys([*others, "RELAYX", "PATH"], "x")) == loaded(SMALL)

    def test_a_wrong_value_names_its_variable(self) -> None:
        problem = only(refused(SMALL, {"RELAY_CHANNELS__MAIN__SYNC_RATE": "fast"}))
        assert (problem.key, problem.value) == ("channels.main.sync_rate", "'fast'")
        assert problem.origin == "RELAY_CHANNELS__MAIN__SYNC_RATE"

    def test_a_value_where_a_table_belongs_is_refused(self) -> None:
        problem = only(refused(SMALL, {"RELAY_LOG": "debug", "RELAY_LOG__LEVEL": "debug"}))
        assert (problem.key, problem.message) == ("log", "is a table and not a value")

    def test_the_process_environment_is_read_only_where_it_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RELAY_LOG__LEVEL", "error")
        monkeypatch.setenv("LOG", '{"level": "error"}')
        assert config.load(None, {}).log.level == "info"


class TestFile:
    def test_the_argument_goes_before_the_variable_and_that_before_the_default(self) -> None:
        for name in ("a", "b", "config"):
            Path(f"{name}.toml").write_text(f'[store]\nurl = "sqlite:{name}.db"', encoding="utf-8")
        environ = {"RELAY_CONFIG": "b.toml"}
        chosen = [config.load(Path("a.toml"), environ), config.load(None, environ), config.load(None, {})]
        assert [settings.store.url for settings in chosen] == ["sqlite:a.db", "sqlite:b.db", "sqlite:config.db"]

    def test_a_missing_one_says_how_to_make_it(self) -> None:
        with pytest.raises(ConfigError) as caught:
            config.load(None, {"RELAY_CONFIG": "nowhere.toml"})
        problem = only(caught.value.problems)
        assert (problem.key, problem.message) == ("nowhere.toml", "there is no such file")
        assert "cp config.example.toml" in problem.remedy

    def test_an_unreadable_one_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
            config.load(tmp_path, {})

    def test_broken_toml_names_file_line_and_column(self) -> None:
        problem = only(refused("[log]\nlevel = loud\n"))
        assert problem.key == "relay.toml"
        assert problem.message == "is not TOML: Invalid value (at line 2, column 9)"

    def test_a_byte_order_mark_does_no_harm(self) -> None:
        assert loaded("\ufeff" + SMALL) == loaded(SMALL)

    def test_what_is_not_text_is_refused(self) -> None:
        Path("binary.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match="is not UTF-8 text"):
            config.load(Path("binary.toml"), {})


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("toml", "key", "remedy"),
        [
            ("[chanels.main]\nburst = 1", "chanels", "did you mean channels?"),
            ("[log]\nlvl = 'info'", "log.lvl", "did you mean log.level?"),
            ("[public]\nqueue_size = 5", "public.queue_size", "did you mean public.queue_max?"),
            ("[public]\nshutdown_grace_s = 5", "public.shutdown_grace_s", "did you mean life.shutdown_grace_s?"),
            ("[life]\nxyzzy = 5", "life.xyzzy", "remove it; known here: shutdown_grace_s"),
        ],
    )
    def test_each_names_the_nearest_known_one(self, toml: str, key: str, remedy: str) -> None:
        problem = only(refused(toml))
        assert (problem.key, problem.message, problem.remedy) == (key, "is not a known key", remedy)

    def test_below_a_name_too(self) -> None:
        problem = only(refused(SMALL + "skip_unchangd = true\n"))
        assert problem.remedy == "did you mean storefronts.shop.skip_unchanged?"
        problem = only(refused(SMALL + "[channels.main.retry]\ncap = 3\n"))
        assert problem.remedy == "did you mean channels.main.retry.cap_s?"

    def test_a_key_of_another_kind_of_storefront_says_so(self) -> None:
        toml = SMALL + '[storefronts.own]\nkind = "native"\nchannel = "main"\nsecrets = ["n"]\nmoney = "shop"\n'
        problem = only(refused(toml))
        assert problem.key == "storefronts.own.money"
        assert problem.message == 'belongs to storefronts of kind "shopify"'


class TestWrongValues:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("sync_rate", "0"),
            ("sync_rate", "-1"),
            ("sync_rate", "nan"),
            ("sync_rate", "inf"),
            ("sync_rate", "true"),
            ("sync_rate", "[1]"),
            ("multiplier", "0"),
            ("burst", "1.5"),
            ("burst", "true"),
            ("timeout_s", "0"),
            ("in_flight_max", "0"),
            ("window", "0"),
            ("rate_floor", "0"),
            ("rate_floor", "1.1"),
            ("backlog_max", "0"),
            ("channel_id", "0"),
            ("mode", "'asink'"),
            ("insecure_http", "'perhaps'"),
            ("async_url", "'ftp://jetti.io'"),
            ("async_url", "'https://'"),
            ("async_url", "'https://a b'"),
            ("async_url", "'https://jetti.io:99999'"),
            ("api_url", "3"),
            ("permanent_codes", "[1]"),
            ("permanent_codes", "'[api'"),
        ],
    )
    def test_each_names_key_value_and_remedy(self, key: str, value: str) -> None:
        problem = only(refused(f'[channels.main]\nwebhook_hash = "h"\n{key} = {value}\n'))
        assert problem.key == f"channels.main.{key}"
        assert problem.message
        assert problem.remedy
        assert problem.value in {repr(tomllib.loads(f"v = {value}")["v"]), "1"}

    def test_the_text_is_fit_for_a_terminal(self) -> None:
        with pytest.raises(ConfigError) as caught:
            loaded('[log]\nlevel = "loud"\n', {"RELAY_LIFE__SHUTDOWN_GRACE_S": "-1"})
        assert str(caught.value) == (
            "The configuration cannot be used: 2 problems.\n"
            "\n"
            "  log.level = 'loud'\n"
            "    must be 'debug', 'info', 'warning' or 'error'\n"
            '    Remedy: give "debug" or "info" or "warning" or "error"; the default is "info"\n'
            "\n"
            "  life.shutdown_grace_s = '-1'  (from RELAY_LIFE__SHUTDOWN_GRACE_S)\n"
            "    must be greater than or equal to 0\n"
            "    Remedy: give a number from 0 to 600; the default is 20"
        )

    @pytest.mark.parametrize("listen", ["8080", ":8080", "*:80", "localhost", "host:99999", "[::1]", "a:b"])
    def test_what_is_no_address_is_refused(self, listen: str) -> None:
        assert only(refused(f'[public]\nlisten = "{listen}"')).message == "is no address to listen on"

    @pytest.mark.parametrize(("listen", "host", "port"), [("[::1]:0", "::1", 0), ("localhost:80", "localhost", 80)])
    def test_an_address_reads_as_it_is_written(self, listen: str, host: str, port: int) -> None:
        address = loaded(f'[public]\nlisten = "{listen}"').public.listen
        assert (address, str(address)) == (Address(host, port), listen)

    @pytest.mark.parametrize(
        "url",
        ["relay.db", "sqlite:", "sqlite::memory:", "sqlite:///a.db", "sqlite:a.db?mode=ro", "mysql://x", "memory"],
    )
    def test_what_is_no_store_is_refused(self, url: str) -> None:
        assert only(refused(f'[store]\nurl = "{url}"')).message == "is no store"

    def test_postgresql_is_recognised_and_not_in_this_version(self) -> None:
        problem = only(refused('[store]\nurl = "postgresql://localhost/relay"'))
        assert problem.message == "PostgreSQL is not in this version"
        assert "sqlite:relay.db" in problem.remedy

    def test_a_store_says_where_its_file_is(self) -> None:
        assert loaded('[store]\nurl = "sqlite:/var/lib/r.db"').store.path == Path("/var/lib/r.db")
        assert loaded('[store]\nurl = "memory:"').store.path is None

    @pytest.mark.parametrize("name", ["Main", "a b", "-a", "a-", "a--b", "a__b", "ä", "", "a" * 64])
    def test_what_is_no_name_is_refused(self, name: str) -> None:
        problem = only(refused(f'[channels."{name}"]\nwebhook_hash = "h"'))
        assert (problem.key, problem.message) == (f"channels.{name}", "is no name for a table")

    @pytest.mark.parametrize("kind", ["", 'kind = "wix"\n'])
    def test_a_storefront_needs_a_kind_that_exists(self, kind: str) -> None:
        problem = only(refused(SMALL + f'[storefronts.x]\n{kind}channel = "main"\nsecrets = ["{SENTINEL}"]'))
        assert problem.key == "storefronts.x.kind"
        assert problem.remedy == "set kind = " + " or ".join(f'"{kind}"' for kind in KINDS)

    @pytest.mark.parametrize("toml", ["channels = 3", "[channels]\nmain = 3", "[storefronts]\nshop = 3", "log = [1]"])
    def test_what_should_be_a_table_is_refused(self, toml: str) -> None:
        assert only(refused(toml)).message == "is a table and not a value"

    def test_a_fallback_address_has_to_be_one(self) -> None:
        assert only(refused(SMALL + 'fallback_email = "nobody"')).message == "is no e-mail address"


class TestContradictions:
    def test_tokens_have_names_and_come_from_files_or_the_environment_too(self) -> None:
        Path("desk").write_text("from-file\n", encoding="utf-8")
        toml = '[private]\ntoken = "t0"\n[private.tokens.desk]\ntoken_file = "desk"\n[private.tokens.cron]\ntoken = "c"'
        private = loaded(toml, {"RELAY_PRIVATE__TOKENS__CRON__TOKEN": "from-env"}).private
        shown = {name: token.get_secret_value() for name, token in private.secrets.items()}
        assert shown == {"token": "t0", "desk": "from-file", "cron": "from-env"}
        assert "from-file" not in str(loaded(toml).redacted())

    def test_a_named_token_is_enough_for_an_open_listener(self) -> None:
        settings = loaded('[private]\nlisten = "0.0.0.0:9090"\n[private.tokens.desk]\ntoken = "t"')
        assert list(settings.private.secrets) == ["desk"]

    @pytest.mark.parametrize(
        ("toml", "key"),
        [
            ('[private]\ntoken = "same"\n[private.tokens.desk]\ntoken = "same"', "private.tokens.desk.token"),
            ('[private.tokens.a]\ntoken = "same"\n[private.tokens.b]\ntoken = "same"', "private.tokens.b.token"),
            ('[private]\ntoken = "t"\n[private.tokens.token]\ntoken = "u"', "private.tokens.token"),
            ('[private.tokens.desk]\ntoken = ""', "private.tokens.desk.token"),
            ("[private.tokens.desk]", "private.tokens.desk.token"),
            ('[private.tokens."A b"]\ntoken = "t"', "private.tokens.A b"),
        ],
    )
    def test_a_token_that_could_be_somebody_elses_is_refused(self, toml: str, key: str) -> None:
        problem = only(refused(toml))
        assert problem.key == key
        assert "same" not in str(problem)

    def test_an_open_private_listener_needs_a_token(self) -> None:
        problem = only(refused('[private]\nlisten = "0.0.0.0:9090"'))
        assert problem.key == "private.listen"
        assert "private.token_file" in problem.remedy
        assert loaded('[private]\nlisten = "0.0.0.0:9090"\ntoken = "t"').private.token is not None

    @pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
    def test_a_loopback_listener_needs_none(self, listen: str) -> None:
        assert loaded(f'[private]\nlisten = "{listen}"').private.listen.loopback

    @pytest.mark.parametrize(
        ("mode", "missing"),
        [("async", ["webhook_hash"]), ("sync", ["token", "channel_id"])],
    )
    def test_a_channel_needs_the_credentials_of_its_mode(self, mode: str, missing: list[str]) -> None:
        problems = refused(f'[channels.main]\nmode = "{mode}"')
        assert [problem.key for problem in problems] == [f"channels.main.{key}" for key in missing]
        assert {problem.value for problem in problems} == {"(not set)"}

    @pytest.mark.parametrize("key", ["async_url", "api_url"])
    def test_credentials_do_not_travel_readable(self, key: str) -> None:
        channel = '[channels.main]\nwebhook_hash = "h"\n'
        problem = only(refused(f'{channel}{key} = "http://sandbox:9099/x"'))
        assert (problem.key, problem.value) == (f"channels.main.{key}", "'http://sandbox:9099/x'")
        loaded(f'{channel}{key} = "http://sandbox:9099/x"\ninsecure_http = true')
        loaded(f'{channel}{key} = "http://[::1]:9099/x"')

    def test_a_storefronts_channel_has_to_exist(self) -> None:
        problem = only(refused(SMALL.replace('channel = "main"', 'channel = "mian"')))
        assert (problem.key, problem.value) == ("storefronts.shop.channel", "'mian'")
        assert problem.remedy == 'did you mean "main"?'

    def test_native_storefronts_share_no_secret(self) -> None:
        native = '[storefronts.{0}]\nkind = "native"\nchannel = "main"\nsecrets = ["{0}", "{1}"]\n'
        problem = only(refused(SMALL + native.format("a", SENTINEL) + native.format("b", SENTINEL)))
        assert (problem.key, problem.value) == ("storefronts.b.secrets", "(secret)")
        assert "storefronts.a" in problem.message
        settings = loaded(SMALL + native.format("a", "x") + native.format("b", "y"))
        assert isinstance(settings.storefronts["b"], NativeStorefront)

    @pytest.mark.parametrize("head_start", ["new_s = 0", "update_s = 4000", "replay_s = 1"])
    def test_new_orders_go_first_and_replays_last(self, head_start: str) -> None:
        problem = only(refused(SMALL + f"[channels.main.head_start]\n{head_start}"))
        assert problem.key.startswith("channels.main.head_start.")

    def test_raw_webhooks_are_not_kept_longer_than_their_orders(self) -> None:
        problem = only(refused("[retention]\nbodies_days = 31"))
        assert (problem.key, problem.value) == ("retention.bodies_days", "31")
        assert problem.remedy == "keep bodies_days <= finished_days, for example 7 and 30"
        assert loaded("[retention]\nbodies_days = 60\nfinished_days = 60").retention.finished_days == 60

    def test_two_listeners_have_two_addresses(self) -> None:
        toml = '[public]\nlisten = "127.0.0.1:{0}"\n[private]\nlisten = "127.0.0.1:{0}"'
        assert only(refused(toml.format(8080))).key == "private.listen"
        loaded(toml.format(0))

    def test_serving_needs_a_channel_and_a_storefront_and_says_which_to_add(self) -> None:
        with pytest.raises(ConfigError) as caught:
            loaded().for_serving()
        assert [problem.key for problem in caught.value.problems] == ["channels", "storefronts"]
        examples = [problem.remedy.partition("\n")[2] for problem in caught.value.problems]
        for name in ("jetti-webhook-hash", "shopify"):
            Path(name).write_text("x", encoding="utf-8")
        loaded("\n".join(examples).replace("/run/secrets/", "")).for_serving()


class TestSecrets:
    def test_they_come_from_files_without_the_line_break(self) -> None:
        Path("hash").write_bytes(b"from-file\r\n")
        Path("both").write_bytes(b"new\n\nold\r\n")
        toml = SMALL.replace('webhook_hash = "h4sh"', 'webhook_hash_file = "hash"')
        settings = loaded(toml.replace('secrets = ["s3cret"]', 'secrets_file = "both"'))
        assert (hash_of(settings), secrets_of(settings)) == ("from-file", ["new", "old"])

    def test_from_files_named_by_variables_too(self) -> None:
        Path("token").write_text("t0ken", encoding="utf-8")
        token = loaded("", {"RELAY_PRIVATE__TOKEN_FILE": "token"}).private.token
        assert token is not None
        assert token.get_secret_value() == "t0ken"

    def test_a_secret_and_its_file_in_one_place_are_a_contradiction(self) -> None:
        Path("hash").write_text("x", encoding="utf-8")
        problem = only(refused(SMALL.replace("[storefronts", 'webhook_hash_file = "hash"\n[storefronts')))
        assert (problem.key, problem.remedy) == ("channels.main.webhook_hash_file", "keep one of the two")
        prefix = "RELAY_CHANNELS__MAIN__WEBHOOK_HASH"
        problem = only(refused(SMALL, {prefix: "x", f"{prefix}_FILE": "hash"}))
        assert problem.origin == f"{prefix}_FILE"

    def test_either_form_in_the_environment_replaces_either_form_in_the_file(self) -> None:
        Path("hash").write_text("from-file", encoding="utf-8")
        assert hash_of(loaded(SMALL, {"RELAY_CHANNELS__MAIN__WEBHOOK_HASH_FILE": "hash"})) == "from-file"
        toml = SMALL.replace('webhook_hash = "h4sh"', 'webhook_hash_file = "gone"')
        assert hash_of(loaded(toml, {"RELAY_CHANNELS__MAIN__WEBHOOK_HASH": "direct"})) == "direct"

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "there is no such file"), (b"\n", "is empty"), (b"\xff", "is not UTF-8 text")],
    )
    def test_a_file_that_cannot_be_used_is_one_problem(self, content: bytes | None, message: str) -> None:
        if content is not None:
            Path("hash").write_bytes(content)
        problem = only(refused(SMALL.replace('webhook_hash = "h4sh"', 'webhook_hash_file = "hash"')))
        assert (problem.key, problem.value) == ("channels.main.webhook_hash_file", "'hash'")
        assert problem.message == message

    @pytest.mark.parametrize("secrets", ["[]", '[""]', '["good", " "]', '""'])
    def test_empty_ones_are_refused(self, secrets: str) -> None:
        problem = only(refused(SMALL.replace('["s3cret"]', secrets)))
        assert (problem.key, problem.message) == ("storefronts.shop.secrets", "is empty")

    @pytest.mark.parametrize("value", ["", "two words", "line\\nbreak", "ümlaut"])
    def test_one_that_cannot_be_a_header_is_refused(self, value: str) -> None:
        problem = only(refused(SMALL.replace("h4sh", value)))
        assert (problem.key, problem.value) == ("channels.main.webhook_hash", "(secret)")

    def test_the_redacted_settings_show_that_a_secret_is_set_and_nothing_of_it(self) -> None:
        settings = loaded(SMALL.replace("h4sh", SENTINEL).replace("s3cret", SENTINEL))
        shown = settings.redacted()
        assert shown["channels"]["main"]["webhook_hash"] == "(secret)"
        assert shown["channels"]["main"]["token"] is None
        assert shown["storefronts"]["shop"]["secrets"] == ["(secret)"]
        assert shown["public"]["listen"] == "0.0.0.0:8080"
        for text in (str(shown), str(settings), repr(settings), settings.model_dump_json()):
            assert SENTINEL not in text

    def test_the_settings_librarys_debugging_shows_none(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
        with caplog.at_level(logging.DEBUG):
            loaded(SMALL.replace("h4sh", SENTINEL))
        assert SENTINEL not in caplog.text

    S = SENTINEL

    @pytest.mark.parametrize(
        ("toml", "environ"),
        [
            (f'webhook_hash = "{S}', {}),
            (f"webhook_hash = {S}", {}),
            (f'[channels.main]\nwebhok_hash = "{S}"', {}),
            (f'[channels.main]\nwebhook_hash = "{S}"\nburst = 0', {}),
            (f'[channels.main]\nwebhook_hash = "{S}"\nmode = "sync"', {}),
            (f'[channels.main]\nwebhook_hash = "{S}"\nasync_url = "http://x"', {}),
            (f'[channels.main]\nwebhook_hash = "{S} {S}"', {}),
            (f'[channels.main]\nwebhook_hash = ["{S}"]', {}),
            (f'[channels.main]\nwebhook_hash = {{ value = "{S}" }}', {}),
            (f'[channels.main]\nwebhook_hash = "{S}"\nwebhook_hash_file = "secret"', {}),
            (f'[channels.main]\nwebhook_hash = "h"\napi_url = "https://user:{S}@jetti.io"', {}),
            (f'[channels.main]\nwebhook_hash = "h"\napi_url = "https://jetti.io?key={S}"', {}),
            (f'[channels.main.retry]\ntoken = "{S}"', {}),
            (f'[channels."A B"]\nwebhook_hash = "{S}"', {}),
            (f'[channels]\nmain = "{S}"', {}),
            (f'channels = "{S}"', {}),
            (f'webhook_hash = "{S}"', {}),
            (f'[storefronts.x]\nsecrets = ["{S}"]', {}),
            (f'[storefronts.x]\nkind = "wix"\nsecrets = ["{S}"]', {}),
            (f'[storefronts.x]\nkind = "shopify"\nsecrets = ["{S}", ""]', {}),
            (f'[storefronts.x]\nkind = "shopify"\nsecrets = [["{S}"]]', {}),
            (f'[storefronts.x]\nkind = "shopify"\nsecrets = {{ a = "{S}" }}', {}),
            (f'[storefronts.x]\nkind = "shopify"\nchannel = "no"\nsecrets = ["{S}"]', {}),
            (f'[storefronts]\nx = ["{S}"]', {}),
            (f'[private]\ntoken = "{S}"\nlisten = "x"', {}),
            (f'[private]\ntoken = {{ x = "{S}" }}\n', {}),
            (f'[store]\nurl = "postgresql://relay:{S}@db/relay"', {}),
            (f'[store]\nurl = "host=db password={S}"', {}),
            ('[channels.main]\nwebhook_hash_file = "secret"\nburst = 0', {}),
            ('[channels.main]\nwebhook_hash_file = "two-words"', {}),
            ('[channels.main]\nwebhook_hash_file = "not-text"', {}),
            ('[storefronts.x]\nkind = "native"\nsecrets_file = "two-words"', {}),
            ("", {"RELAY_CHANNELS__MAIN__WEBHOK_HASH": S}),
            ("", {"RELAY_CHANNELS__MAIN__WEBHOOK_HASH": S, "RELAY_CHANNELS__MAIN__BURST": "0"}),
            ("", {"RELAY_CHANNELS__MAIN": S}),
            ("", {"RELAY_CHANNELS": S}),
            ("", {"RELAY_WEBHOOK_HASH": S}),
            ("", {"RELAY_TOKEN": S, "RELAY_TOKEN__X": S}),
            ("", {"RELAY_PRIVATE__TOKEN": f"{S}\n"}),
            ("", {"RELAY_STOREFRONTS__X__SECRETS": f"[{S}"}),
            ("", {"RELAY_STOREFRONTS__X__KIND": "native", "RELAY_STOREFRONTS__X__SECRETS": f'["{S}", 1]'}),
            ("", {"RELAY_STOREFRONTS__X__KIND": "native", "RELAY_STOREFRONTS__X__SECRETS": f"[{S}"}),
            ("", {"RELAY_STORE__URL": f"postgresql://relay:{S}@db/relay"}),
        ],
    )
    def test_no_error_shows_one(self, toml: str, environ: dict[str, str]) -> None:
        Path("secret").write_text(SENTINEL, encoding="utf-8")
        Path("two-words").write_text(f"{SENTINEL} {SENTINEL}", encoding="utf-8")
        Path("not-text").write_bytes(SENTINEL.encode() + b"\xff")
        with pytest.raises(ConfigError) as caught:
            loaded(toml, environ)
        error = caught.value
        shown = [str(error), repr(error), repr(error.problems), "".join(traceback.format_exception(error))]
        captured = traceback.TracebackException.from_exception(error, capture_locals=True)
        ours = [frame for frame in captured.stack if Path(frame.filename).parent == Path(config.__file__).parent]
        assert ours
        shown += [str(frame.locals) for frame in ours]
        assert (error.__cause__, error.__context__) == (None, None)
        assert not [text for text in shown if SENTINEL in text]

    def test_nor_does_the_librarys_own_error(self) -> None:
        with pytest.raises(ValueError, match="burst") as caught:
            Settings.model_validate({"channels": {"main": {"webhook_hash": SENTINEL, "burst": 0}}})
        assert SENTINEL not in str(caught.value) + repr(caught.value)


class TestSecretsAnew:
    """A channel's secrets are read again without a restart."""

    FROM_FILE = '[channels.main]\nwebhook_hash_file = "hash"\ntoken = "inline"\n'

    def from_file(self) -> config.Channel:
        Path("hash").write_text("the old one\n".replace(" ", "-"), encoding="utf-8")
        return loaded(self.FROM_FILE).channels["main"]

    def test_a_changed_file_gives_the_new_secret_and_what_came_from_no_file_stays(self) -> None:
        channel = self.from_file()
        Path("hash").write_text(f"{SENTINEL}\r\n", encoding="utf-8")
        secrets = current_secrets(channel)
        assert secrets.webhook_hash is not None
        assert secrets.webhook_hash.get_secret_value() == SENTINEL
        assert secrets.token is channel.token
        assert SENTINEL not in repr(secrets)

    def test_a_file_named_by_a_variable_is_read_again_too(self) -> None:
        Path("hash").write_text("old", encoding="utf-8")
        settings = loaded(SMALL, {"RELAY_CHANNELS__MAIN__WEBHOOK_HASH_FILE": "hash"})
        Path("hash").write_text("new", encoding="utf-8")
        secret = current_secrets(settings.channels["main"]).webhook_hash
        assert secret is not None
        assert secret.get_secret_value() == "new"

    def test_a_variable_that_replaced_a_file_stays(self) -> None:
        channel = loaded(self.FROM_FILE, {"RELAY_CHANNELS__MAIN__WEBHOOK_HASH": "direct"}).channels["main"]
        assert current_secrets(channel).webhook_hash == channel.webhook_hash

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "there is no such file"),
            (b"\n", "is empty"),
            (b" ", "is empty"),
            (SENTINEL.encode() + b"\xff", "is not UTF-8 text"),
            (SENTINEL.encode() + b" x", "has a space, a line break or a character beyond ASCII"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_an_error_that_shows_nothing_of_it(
        self, content: bytes | None, message: str
    ) -> None:
        channel = self.from_file()
        Path("hash").unlink()
        if content is not None:
            Path("hash").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            current_secrets(channel)
        problem = only(caught.value.problems)
        assert (problem.key, problem.value) == ("webhook_hash_file", "'hash'")
        assert problem.message.startswith(message)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        captured = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours = [frame for frame in captured.stack if Path(frame.filename).parent == Path(config.__file__).parent]
        assert SENTINEL not in str(caught.value) + "".join(str(frame.locals) for frame in ours)


MAPPING = """
[storefronts.x.mapping]
external_id = "id"
customer = { email = "email" }
line_items = { each = "lines", externalId = "id", quantity = "qty", price = "price", sku = "sku" }
"""


class TestWhatIsCompiled:
    """Expressions, rules and templates are known to be good before the first order comes."""

    @pytest.mark.parametrize(
        ("lines", "key", "says"),
        [
            ("accept_when = 'paid =='", "accept_when", "the expression ends too early"),
            ("accept_when = 'nosuch(a)'", "accept_when", "nosuch"),
            ("override = { sale = { colour = 'x' } }", "override.sale.colour", "is not known"),
            ("override = { sale = { notes = 'a ==' } }", "override.sale.notes", "ends too early"),
            (
                "override = { line_items = { externalId = 'id' } }",
                "override.line_items.externalId",
                "cannot be changed",
            ),
            ("reference = 'IT'", "reference", "every order would have the same reference"),
            ("external_id_prefix = ' '", "external_id_prefix", "expected text"),
            ("prefix_lines = true", "prefix_lines", "needs external_id_prefix"),
            ("split_lines = { id = 'sku' }", "split_lines.id", "did you mean ids?"),
            ("options = { findOrCreateChannelVariant = true }", "options.findOrCreateChannelVariant", "key of its own"),
            ("routing = [{ route = 'ignore' }, { route = 'drop' }]", "routing[1].route", "expected one of"),
            ("routing = [{ route = 'ignore', skuu = 'A*' }]", "routing[0].skuu", "did you mean sku?"),
            ("routing = [{ route = 'dropship' }]", "routing[0].dropship_provider_id", "is required with route"),
            ("routing = [{ route = 'ignore', when = 'line.' }]", "routing[0].when", "ends too early"),
        ],
    )
    @pytest.mark.parametrize("kind", ["shopify", "native", "elasticpath"])
    def test_a_fault_names_the_storefronts_key(self, kind: str, lines: str, key: str, says: str) -> None:
        problem = only(refused(table(kind, lines)))
        assert problem.key == f"storefronts.x.{key}"
        assert says in problem.message
        assert problem.remedy == "see docs/reference/mapping.md"

    @pytest.mark.parametrize("kind", ["standard", "hmac"])
    def test_a_mapping_has_all_its_faults_told_at_once(self, kind: str) -> None:
        toml = table(kind, "mapping = { external_id = 'id ==', line_items = { each = 'l' } }", secret=STANDARD_KEY)
        found = {problem.key.removeprefix("storefronts.x.mapping."): problem.message for problem in refused(toml)}
        assert set(found) == {
            "external_id",
            "customer.email",
            "line_items.externalId",
            "line_items.quantity",
            "line_items.price",
            "line_items.sku",
        }

    @pytest.mark.parametrize(
        ("kind", "line", "key"),
        [
            ("standard", "ignore_when = '=='", "ignore_when"),
            ("standard", "topic_path = '=='", "topic_path"),
            ("hmac", "id_path = '=='", "id_path"),
            ("hmac", "types = { '*' = 'maybe' }", "types"),
            ("hmac", "header = 'two words'", "header"),
            ("elasticpath", "currency_decimals = { EUR = 'two' }", "currency_decimals"),
            ("woocommerce", "currency = 'euro'", "currency"),
        ],
    )
    def test_other_keys_that_cannot_be_used_are_named(self, kind: str, line: str, key: str) -> None:
        assert only(refused(table(kind, line, secret=STANDARD_KEY))).key == f"storefronts.x.{key}"

    @pytest.mark.parametrize(
        ("kind", "lines", "says"),
        [
            ("hmac", ["signed = '{timestamp}.{body}'"], "signed has {timestamp}: set timestamp_header"),
            ("hmac", ["key_encoding = 'hex'"], "a secret is not hex, as key_encoding says"),
            ("hmac", ["timestamp_format = 'whenever'"], "is no date format"),
        ],
    )
    def test_what_makes_no_source_is_a_problem_of_its_table(self, kind: str, lines: list[str], says: str) -> None:
        problem = only(refused(table(kind, *lines, secret=SENTINEL)))
        assert problem.key == "storefronts.x"
        assert says in problem.message
        assert SENTINEL not in str(problem)

    @pytest.mark.parametrize(("kind", "lines"), [
        ("standard", []), ("squarespace", ['api_token = "t"']),
    ])  # fmt: skip
    def test_a_secret_in_the_wrong_form_is_refused_and_not_shown(self, kind: str, lines: list[str]) -> None:
        problem = only(refused(table(kind, *lines, secret="hush!" + SENTINEL)))
        assert (problem.key, problem.value) == ("storefronts.x.secrets", "(secret)")
        assert SENTINEL not in str(problem)

    def test_how_a_thin_storefronts_orders_are_fetched_is_a_table_of_its_own(self) -> None:
        lines = ['api_token = "t"', "fetch = { rate = 2, burst = 3, wait_s = 1.5, retry = { cap_s = 60 } }"]
        fetch = loaded(table("squarespace", *lines, secret="00ff")).thin["x"].fetch
        assert (fetch.pace, fetch.wait_s) == (Pace(2.0, 1.0, 3), 1.5)
        assert fetch.retry.policy == RetryPolicy(cap_s=60)
        assert loaded(SMALL).thin == {}

    def test_a_store_of_bigcommerce_needs_one_kind_of_secret(self) -> None:
        toml = '[storefronts.x]\nkind = "bigcommerce"\nchannel = "main"\nstore_hash = "abc"\napi_token = "t"\n'
        problem = only(refused(SMALL + toml))
        assert problem.message.startswith("a BigCommerce storefront needs a secret or a client secret")
        Path("several").write_text("one\n\ntwo\n", encoding="utf-8")
        found: Any = loaded(SMALL + toml + 'client_secrets_file = "several"').storefronts["x"]
        assert [secret.get_secret_value() for secret in found.client_secrets] == ["one", "two"]

    def test_a_token_does_not_travel_readable(self) -> None:
        lines = ['api_token = "t"', 'api_url = "http://{}:1"']
        problem = only(refused(table("squarespace", *lines, secret="00ff").format("api.example")))
        assert (problem.key, problem.message) == (
            "storefronts.x.api_url",
            "would show the token to everyone on the way",
        )
        loaded(table("squarespace", *lines, secret="00ff").format("127.0.0.1"))

    def test_a_token_that_is_missing_says_that_it_may_come_from_a_file(self) -> None:
        problem = only(refused(table("squarespace", secret="00ff")))
        assert problem.key == "storefronts.x.api_token"
        assert "api_token_file" in problem.remedy

    def test_what_a_storefront_wants_done_is_what_its_orders_get(self) -> None:
        toml = table(
            "elasticpath",
            "accept_when = \"payload.data.payment == 'paid'\"",
            "external_id_prefix = 'E-'",
            "split_lines = { ids = 'sku' }",
            "routing = [{ route = 'ignore', sku = 'GIFT-*' }]",
        )
        storefront = loaded(toml).storefronts["x"]
        assert (storefront.shape.external_id_prefix, len(storefront.shape.routing)) == ("E-", 1)
        assert storefront.shape.split_lines is not None
        assert isinstance(storefront.criterion, Criterion)
        assert storefront.criterion.holds_for({"payload": {"data": {"payment": "paid"}}}) is True
        assert storefront.overriding is None

    def test_hidden_properties_are_left_out_but_where_the_sender_writes_the_sale(self) -> None:
        for kind in ("shopify", "woocommerce", "elasticpath"):
            assert loaded(table(kind)).storefronts["x"].shape.hidden_properties is False, kind
        assert loaded(table("native")).storefronts["x"].shape is PLAIN

    def test_jettis_option_is_set_once_by_the_source_or_afterwards(self) -> None:
        line = "find_or_create_channel_variant = true"
        own: Any = loaded(SMALL + line).storefronts["shop"]
        assert (own.rules.find_or_create_channel_variant, own.shape.find_or_create_channel_variant) == (True, None)
        assert loaded(table("native", line)).storefronts["x"].shape.find_or_create_channel_variant is True

    def test_tables_come_from_variables_too(self) -> None:
        environ = {
            "RELAY_STOREFRONTS__X__ROUTING": '[{"route": "ignore", "sku": ["A*"]}]',
            "RELAY_STOREFRONTS__X__OPTIONS": '{"anOption": 5}',
            "RELAY_STOREFRONTS__X__SPLIT_LINES": '{"ids": "sku"}',
            "RELAY_STOREFRONTS__X__MAPPING__EXTERNAL_ID": "number",
        }
        found: Any = loaded(table("hmac") + MAPPING, environ).storefronts["x"]
        assert found.mapping["external_id"] == "number"
        assert (dict(found.shape.options), len(found.shape.routing)) == ({"anOption": 5}, 1)
        problem = only(refused(table("hmac"), {"RELAY_STOREFRONTS__X__ROUTING": '[{"route": "nowhere"}]'}))
        assert (problem.key, problem.origin) == ("storefronts.x.routing[0].route", "RELAY_STOREFRONTS__X__ROUTING")
        for broken in ("{", "[1]", "x"):
            environ = {"RELAY_STOREFRONTS__X__OPTIONS": broken}
            assert only(refused(table("hmac"), environ)).message == "is no table"

    def test_storefronts_that_share_a_channel_are_named_unless_their_prefixes_differ(self) -> None:
        assert loaded(table("hmac")).sharing() == {"main": ["shop", "x"]}
        apart = loaded(table("hmac", 'external_id_prefix = "X-"'))
        assert apart.sharing() == {}
        assert not [warning for warning in _warnings(apart) if "share channel" in warning.what]
        assert [warning for warning in _warnings(loaded(table("hmac"))) if "share channel main" in warning.what]

    def test_the_examples_secrets_are_known_in_every_form(self) -> None:
        known = set(loaded(EXAMPLE.read_text(encoding="utf-8")).placeholders())
        assert {"storefronts.square.secrets", "storefronts.standard.secrets", "storefronts.big.api_token"} <= known


PLUGIN = """
from dataclasses import dataclass
from typing import Literal

from relay.config.kinds import Kind
from relay.config.storefronts import Storefront
from relay.core.sources.native import Native


class AcmeStorefront(Storefront):
    kind: Literal["acme"]
    greeting: str = "hello"
    \"\"\"What it says.\"\"\"


KIND = Kind("acme", AcmeStorefront, lambda table: Native())
OTHER = Kind("shopify", AcmeStorefront, lambda table: Native())
NO_TABLE = Kind("acme", dict, lambda table: Native())
NO_KIND = Kind("acme", Storefront, lambda table: Native())
NOTHING = 5
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package that registers kinds: its code, and the metadata that an installer would write."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def install(**points: str) -> None:
        Path(folder, "acme_relay.py").write_text(PLUGIN, encoding="utf-8")
        info = folder / "acme_relay-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-relay\nVersion: 1.0\n", encoding="utf-8")
        lines = "\n".join(f"{name} = {value}" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[order_relay.sources]\n{lines}\n", encoding="utf-8")
        forget()

    yield install
    sys.modules.pop("acme_relay", None)
    monkeypatch.undo()
    forget()


def forget() -> None:
    """As if the process had just begun."""
    importlib.invalidate_caches()
    registered.cache_clear()
    known._every_key.cache_clear()
    known.known_keys.cache_clear()
    Settings.model_rebuild(force=True)


class TestKindsOfOthers:
    def test_the_built_in_ones_are_registered_like_anybodys(self) -> None:
        assert (list(registered().kinds), registered().troubles) == (KINDS, ())

    def test_a_package_adds_one_by_its_entry_point(self, plugin: Callable[..., None]) -> None:
        plugin(acme="acme_relay:KIND")
        found: Any = loaded(table("acme", 'greeting = "hi"', 'reference = "A{reference}"')).storefronts["x"]
        assert (found.greeting, found.shape.reference is None) == ("hi", False)
        assert isinstance(kind_of(found).source(found), Native)
        assert only(refused(table("acme", "greting = 1"))).remedy == "did you mean storefronts.x.greeting?"
        assert only(refused(table("acme", "money = 'shop'"))).message == 'belongs to storefronts of kind "shopify"'
        assert '| `greeting` | text | `"hello"` | What it says. |' in config.reference()

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("acme_relay:NOTHING", "is no relay.config.kinds.Kind"),
            ("acme_relay:GONE", "cannot be imported (AttributeError"),
            ("acme_gone:KIND", "cannot be imported (ModuleNotFoundError"),
            ("acme_relay:OTHER", "is the kind 'shopify': name the entry point so"),
            ("acme_relay:NO_TABLE", "is no relay.config.storefronts.Storefront"),
            ("acme_relay:NO_KIND", 'needs kind: Literal["acme"]'),
        ],
    )
    def test_a_broken_one_is_an_error_for_who_uses_it_and_for_nobody_else(
        self, plugin: Callable[..., None], value: str, why: str
    ) -> None:
        plugin(acme=value)
        problem = only(refused(table("acme")))
        assert (problem.key, problem.value) == ("storefronts.x.kind", "'acme'")
        assert problem.message.startswith("kind 'acme' of the package acme-relay cannot be used: ")
        assert why in problem.message
        assert problem.remedy == "mend the package acme-relay, or remove this storefront"
        assert loaded(SMALL).storefronts["shop"].kind == "shopify"
        assert [trouble.name for trouble in registered().troubles] == ["acme"]
        warned = [warning.what for warning in _warnings(loaded(SMALL))]
        assert any(what.startswith("kind 'acme' of the package acme-relay cannot be used") for what in warned)

    def test_nobody_takes_the_place_of_a_built_in_one(self, plugin: Callable[..., None]) -> None:
        plugin(shopify="acme_relay:OTHER")
        assert registered().kinds["shopify"].table is ShopifyStorefront
        assert "another package has a kind of this name" in str(registered().troubles[0])

    def test_a_package_may_be_imported_before_the_relay(self, plugin: Callable[..., None]) -> None:
        """Its own tests do so; then it is not whole yet when the relay's modules are imported."""
        plugin(acme="acme_relay:KIND")
        code = "import acme_relay; from relay.config import registered; assert 'acme' in registered().kinds"
        environ = {"PYTHONPATH": sys.path[0]}
        subprocess.run([sys.executable, "-c", code], env=environ, check=True)

    def test_a_package_that_is_found_twice_is_one(self) -> None:
        point = EntryPoint("shopify", "relay.config.kinds.shopify:KIND", "order_relay.sources")
        again = EntryPoint("shopify", "relay.config.kinds.shopify:KIND", "order_relay.sources")
        found = found_in([point, again])
        assert (list(found.kinds), found.troubles) == (["shopify"], ())

    def test_a_source_that_raises_is_a_problem_of_its_storefront(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def defect(_: object) -> Any:
            raise ZeroDivisionError

        broken = Kind("shopify", ShopifyStorefront, defect)
        monkeypatch.setattr("relay.config.settings.kind_of", lambda _: broken)
        problem = only(refused(SMALL))
        assert problem.key == "storefronts.shop"
        assert "ZeroDivisionError" in problem.message


def uncommented(*, plain: bool) -> str:
    """The example with every optional key set; of a secret and its ``_file``, and of other keys that exclude each
    other, only the one or the other."""
    text = re.sub(r"^# (?=[a-z_.]+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    in_the_place_of = {"timestamp_header": "timestamp_prefix", "version": "sequence_header"}
    lines = [line for line in text.splitlines() if line.partition(" = ")[0] not in in_the_place_of]
    if plain:
        return "\n".join(line for line in lines if not re.match(r"[a-z_.]+_file = ", line))
    filed = {"token", "tokens.desk.token", "webhook_hash", "secrets", "client_secrets", "api_token", "headers"}
    return "\n".join(line for line in lines if line.partition(" = ")[0] not in filed)


class TestExample:
    def test_it_loads_as_it_is(self) -> None:
        settings = config.load(EXAMPLE, {}).for_serving()
        assert list(settings.channels) == ["main", "trial"]
        assert sorted(storefront.kind for storefront in settings.storefronts.values()) == KINDS

    def test_it_has_the_defaults(self) -> None:
        example = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))

        def compare(values: Mapping[str, Any], above: tuple[str, ...], kind: str | None = None) -> None:
            defaults = {key.name: "" if key.secret else key.default for key in keys(kind)}
            for key, value in values.items():
                path = (*above, "NAME" if above in {("channels",), ("storefronts",), ("private", "tokens")} else key)
                if isinstance(value, dict) and ".".join(path) not in KNOWN:
                    compare(value, path, value.get("kind"))
                elif (default := defaults[".".join(path)]) and (path[-1], value) not in NOT_DEFAULT:
                    assert tomllib.loads(f"v = {default}")["v"] == value, path

        compare(example, ())

    def test_no_key_is_missing_from_it(self) -> None:
        text = re.sub(r"^# (?=[a-z_.]+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
        example = tomllib.loads(text)
        assert {key.name for key in keys()} == set(paths(example))
        common = {f"storefronts.NAME.{name}" for name in Storefront.model_fields}
        common |= {name for name in KNOWN if name.startswith("storefronts.NAME.tests.")}
        for table in example["storefronts"].values():
            of_kind = {key.name for key in keys(table["kind"]) if key.name.startswith("storefronts.")}
            assert of_kind - common - set(paths({"storefronts": {"x": table}})) == set(), table["kind"]

    def test_its_commented_keys_load(self) -> None:
        settings = loaded(uncommented(plain=True))
        assert settings.private.token is not None
        assert shopify(settings).rules.fallback_email == "orders@example.com"

    def test_its_secret_files_load(self) -> None:
        Path("secrets").mkdir()
        named = re.findall(r'^[\w.]+_file = "(.*?)"', uncommented(plain=False), re.MULTILINE)
        of_kinds = [key for kind in KINDS for key in keys(kind) if key.name.endswith("_file") and key.kinds]
        plain = [key for key in keys() if key.name.endswith("_file") and not key.kinds]
        assert len(named) == len(of_kinds) + len(plain)
        for name in named:
            special = {"standard": STANDARD_KEY, "squarespace": "00ff", "collector-headers": "x-key=one"}
            text = special.get(Path(name).name, f"from-{Path(name).name}")
            Path(name).write_text(f"{text}\n", encoding="utf-8")
        settings = loaded(uncommented(plain=False))
        assert hash_of(settings) == "from-webhook-hash"
        assert secrets_of(settings, "own-checkout") == ["from-native"]


class TestReference:
    def test_every_key_says_what_it_is_and_what_it_takes(self) -> None:
        assert not [key.name for key in keys() if not key.description or not key.takes]

    def test_the_page_is_what_is_generated(self) -> None:
        assert REFERENCE.read_text(encoding="utf-8").endswith("\n\n" + config.reference())

    def test_every_key_is_on_the_page(self) -> None:
        page = REFERENCE.read_text(encoding="utf-8")
        for kind in KINDS:
            of_kind = page.partition(f'### `[storefronts.NAME]` with `kind = "{kind}"`')[2].partition("###")[0]
            for key in keys(kind):
                table, _, name = key.name.rpartition(".")
                if key.kinds and table.endswith(".fetch"):
                    table, name = "storefronts.NAME", f"fetch.{name}"
                if key.kinds and table.startswith("storefronts.NAME.fetch."):
                    table, name = "storefronts.NAME", key.name.removeprefix("storefronts.NAME.")
                heading = f"### `[[{table}]]`" if table.endswith(".tests") else f"### `[{table}]`"
                section = page.partition(heading)[2].partition("###")[0] + (of_kind if key.kinds else "")
                assert f"| `{name}` |" in section

    def test_a_default_that_differs_by_kind_is_shown_for_each(self) -> None:
        page = REFERENCE.read_text(encoding="utf-8")
        (row,) = re.findall(r"(?m)^\| `refuse_at` .*$", page)
        assert "| `0.8`; `woocommerce`: `1` |" in row

    def test_secrets_are_known_as_such(self) -> None:
        assert {key.name for key in keys() if key.secret} == {
            "private.token",
            "private.tokens.NAME.token",
            "channels.NAME.webhook_hash",
            "channels.NAME.token",
            "storefronts.NAME.secrets",
            "storefronts.NAME.client_secrets",
            "storefronts.NAME.api_token",
            "tracing.headers",
        }

    def test_a_key_knows_its_variable(self) -> None:
        variables = {key.name: key.variable for key in keys()}
        assert variables["channels.NAME.retry.cap_s"] == "RELAY_CHANNELS__NAME__RETRY__CAP_S"
