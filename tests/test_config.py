"""The configuration: what it takes, what it refuses and in which words, and that it keeps secrets."""

import dataclasses
import logging
import re
import tomllib
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from relay import config
from relay.config import (
    Address,
    ConfigError,
    NativeStorefront,
    Problem,
    Settings,
    ShopifyStorefront,
    current_secrets,
    keys,
)
from relay.core.breaker import BreakerPolicy
from relay.core.delivery import HeadStarts
from relay.core.pace import Mode, Pace
from relay.core.retry import RetryPolicy
from relay.core.sources.shopify import ShopifyRules

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.toml"
REFERENCE = ROOT / "docs" / "reference" / "configuration.md"
SENTINEL = "hush-4f1c"

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


def secrets_of(settings: Settings, name: str = "shop") -> list[str]:
    return [secret.get_secret_value() for secret in settings.storefronts[name].secrets]


def hash_of(settings: Settings, name: str = "main") -> str | None:
    secret = settings.channels[name].webhook_hash
    return None if secret is None else secret.get_secret_value()


def paths(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[str]:
    """The keys of a configuration as `keys` writes them."""
    for key, value in values.items():
        path = (*above, "NAME" if above in {("channels",), ("storefronts",)} else key)
        if isinstance(value, dict):
            yield from paths(value, path)
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
        assert channel.retry_policy == RetryPolicy()
        assert channel.head_starts == HeadStarts()
        assert channel.breaker_policy == BreakerPolicy()
        assert channel.import_mode is Mode.ASYNC
        assert shopify(loaded(SMALL)).rules == ShopifyRules()

    def test_every_rule_for_shopify_is_a_key_with_the_same_type(self) -> None:
        known = ShopifyStorefront.model_fields
        for rule in dataclasses.fields(ShopifyRules):
            if rule.name not in {"custom_item_sku", "fallback_email"}:  # these two are bounded here
                assert known[rule.name].annotation == rule.type, rule.name
            assert known[rule.name].default == rule.default, rule.name

    def test_rules_reach_the_source_as_they_are_written(self) -> None:
        rules = shopify(loaded(SMALL + 'discounts = "net"\nhidden_properties = true\nfallback_email = "a@b"')).rules
        assert rules == ShopifyRules(discounts="net", hidden_properties=True, fallback_email="a@b")

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
        assert channel.retry_policy == RetryPolicy(2, 3, 60, 600)
        assert channel.breaker_policy == BreakerPolicy(2, 3, 4, 5, 6, 7)
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
        assert loaded(SMALL).storefronts["shop"].refuse_at == 0.8

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
                if isinstance(value, dict):
                    put(value, name)
                elif isinstance(value, list):
                    environ[name] = str(value).replace("'", '"')
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
        assert problem.remedy == 'set kind = "shopify" or "native"'

    @pytest.mark.parametrize("toml", ["channels = 3", "[channels]\nmain = 3", "[storefronts]\nshop = 3", "log = [1]"])
    def test_what_should_be_a_table_is_refused(self, toml: str) -> None:
        assert only(refused(toml)).message == "is a table and not a value"

    def test_a_fallback_address_has_to_be_one(self) -> None:
        assert only(refused(SMALL + 'fallback_email = "nobody"')).message == "is no e-mail address"


class TestContradictions:
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


def uncommented(*, plain: bool) -> str:
    """The example with every optional key set; of a secret and its ``_file`` only the one or the other."""
    text = re.sub(r"^# (?=[a-z_]+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.splitlines()
    if plain:
        return "\n".join(line for line in lines if not re.match(r"[a-z_]+_file = ", line))
    filed = {"token", "webhook_hash", "secrets"}
    return "\n".join(line for line in lines if line.partition(" = ")[0] not in filed)


class TestExample:
    def test_it_loads_as_it_is(self) -> None:
        settings = config.load(EXAMPLE, {}).for_serving()
        assert list(settings.channels) == ["main", "trial"]
        assert list(settings.storefronts) == ["shop", "own-checkout"]

    def test_it_has_the_defaults(self) -> None:
        example = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
        defaults = {key.name: key.default for key in keys()}

        def compare(values: Mapping[str, Any], above: tuple[str, ...]) -> None:
            for key, value in values.items():
                path = (*above, "NAME" if above in {("channels",), ("storefronts",)} else key)
                if isinstance(value, dict):
                    compare(value, path)
                elif (default := defaults[".".join(path)]) and (*path, value) != ("channels", "NAME", "mode", "sync"):
                    assert tomllib.loads(f"v = {default}")["v"] == value, path

        compare(example, ())

    def test_no_key_is_missing_from_it(self) -> None:
        text = re.sub(r"^# (?=[a-z_]+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert {key.name for key in keys()} == set(paths(tomllib.loads(text)))

    def test_its_commented_keys_load(self) -> None:
        settings = loaded(uncommented(plain=True))
        assert settings.private.token is not None
        assert shopify(settings).rules.fallback_email == "orders@example.com"

    def test_its_secret_files_load(self) -> None:
        Path("secrets").mkdir()
        named = re.findall(r'^\w+_file = "(.*?)"', uncommented(plain=False), re.MULTILINE)
        assert len(named) == len({key.name for key in keys() if key.name.endswith("_file")}) + 1
        for name in named:
            Path(name).write_text(f"from-{Path(name).name}\n", encoding="utf-8")
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
        for key in keys():
            table, _, name = key.name.rpartition(".")
            section = page.partition(f"### `[{table}]`")[2].partition("###")[0]
            assert f"| `{name}` |" in section

    def test_secrets_are_known_as_such(self) -> None:
        assert {key.name for key in keys() if key.secret} == {
            "private.token",
            "channels.NAME.webhook_hash",
            "channels.NAME.token",
            "storefronts.NAME.secrets",
        }

    def test_a_key_knows_its_variable(self) -> None:
        variables = {key.name: key.variable for key in keys()}
        assert variables["channels.NAME.retry.cap_s"] == "RELAY_CHANNELS__NAME__RETRY__CAP_S"
