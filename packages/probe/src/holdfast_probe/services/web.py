"""The web administration probe: pages that a server computes are behind a login.

1. Static pages are nobody's administration; what is computed (cgi, FastCGI, a proxied program, a form) may be.
2. A server is judged by its own settings; what a program behind it asks for is not seen, except LuCI, which asks.
3. A server without any computed page passes.

Sources: OpenWrt's uhttpd, busybox's httpd, lighttpd's mod_auth and mod_cgi, nginx's modules, boa, goahead, mini_httpd.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast_core.baseline.probes.services import WebAdministration
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started
from holdfast_probe.services.listen_common import arguments, options, settings
from holdfast_probe.services.listen_web import (
    BOA,
    BUSYBOX_HTTPD,
    GOAHEAD,
    LIGHTTPD,
    NGINX,
    NGINX_FILES,
    SMALL,
    SMALL_FILES,
    UHTTPD,
    WEB_SERVERS,
    lighttpd_lines,
)
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.services.texts import exists, fitting, lines, names, numbered
from holdfast_probe.services.uci import sections
from holdfast_probe.sight import Sight, failed, judged, not_applicable, unknown

_COMPUTED = ("fastcgi_pass", "uwsgi_pass", "scgi_pass", "proxy_pass")
_LIGHTTPD_COMPUTED = ("cgi.assign", "fastcgi.server", "proxy.server", "scgi.")
_ASKS = ("auth_basic_user_file", "auth_request", "ssl_verify_client on", "auth_jwt")
_BUSYBOX_HOMES = ("/www", "/var/www", "/srv/www", "/usr/share/www")


def see_web_administration(case: Case, _spec: WebAdministration) -> Sight:
    """Judge one `WebAdministration` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    servers = [item for item in items if item.answers_to(WEB_SERVERS)]
    if not servers:
        return not_applicable("No web server that is known is started.")
    bad: list[str] = []
    silent: list[str] = []
    for item in servers:
        reader = next(reader for patterns, reader in _READERS.items() if item.answers_to(patterns))
        found = reader(case.root, item)
        if found is None:
            silent.append(item.name)
        else:
            bad += found
    if silent and not bad:
        return unknown(f"The settings of {', '.join(silent)} were not found.")
    return failed(bad) if bad else judged((), f"every computed page of {servers[0].name} asks for a login")


def _uhttpd(root: Root, _item: Started) -> list[str] | None:
    found = [section for section in sections(root, "/etc/config/uhttpd") if section.kind == "uhttpd"]
    if not found:
        return None
    bad = []
    for section in found:
        home, prefix = section.last("home", "/www"), section.last("cgi_prefix", "/cgi-bin")
        guarded = _paths_with_login(root, section.last("config", "/etc/httpd.conf"))
        # LuCI and the bus ask for a login of their own.
        programs = [n for n in names(root, f"{home}{prefix}") if not n.startswith(("luci", "cgi-"))]
        if not any(prefix.startswith(path) for path in guarded):
            bad += [f"{home}{prefix}/{name} is served without a login ({section.where})" for name in programs]
    return bad


def _paths_with_login(root: Root, path: str) -> list[str]:
    """The paths of an httpd.conf (busybox, uhttpd) that ask for a user and a password."""
    found = [line.split(":", 2) for line in lines(root, path) or () if line.startswith("/")]
    return [parts[0] for parts in found if len(parts) == 3 and parts[2]]  # noqa: PLR2004  (path, user, password)


def _busybox(root: Root, item: Started) -> list[str]:
    given = arguments(root, item, "httpd")
    homes = [home for home in options(given, "-h") if home.startswith("/")]
    homes = homes or [home for home in _BUSYBOX_HOMES if exists(root, home)]
    config = (options(given, "-c") or ["/etc/httpd.conf"])[0]
    guarded = _paths_with_login(root, config if config.startswith("/") else "/etc/httpd.conf")
    if any("/cgi-bin".startswith(path.rstrip("/")) for path in guarded):
        return []
    folders = [f"{home}/cgi-bin" for home in homes]
    return [f"{folder} is served without a login ({item.source})" for folder in folders if names(root, folder)]


def _lighttpd(root: Root, item: Started) -> list[str] | None:
    found = lighttpd_lines(root, item)
    if not found or any(line.startswith("include_shell") for _, line in found):
        return None
    computed = [where for where, line in found if line.startswith(_LIGHTTPD_COMPUTED)]
    asks = any("auth.require" in line or "ssl.verifyclient.enforce" in line for _, line in found)
    return [] if asks else [f"pages that {item.name} computes ask for no login ({where})" for where in computed]


def _nginx(root: Root, item: Started) -> list[str] | None:
    paths = fitting(root, *NGINX_FILES)
    if not paths:
        return None
    bad = []
    for path in paths:
        found = numbered(root, path) or ()
        if any(word in " ".join(line.split()) for _, line in found for word in _ASKS):
            continue
        bad += [
            f"pages that {item.name} computes ask for no login ({path}:{number})"
            for number, line in found
            if any(word in line for word in _COMPUTED)
        ]
    return bad


def _boa(root: Root, item: Started) -> list[str] | None:
    found = settings(root, "/etc/boa/boa.conf", "/etc/boa.conf")
    if not found:
        return None
    if any(key == "Auth" for key, _, _ in found):
        return []
    return [f"cgi of {item.name} asks for no login ({where})" for key, _, where in found if key == "ScriptAlias"]


def _goahead(root: Root, item: Started) -> list[str] | None:
    paths = fitting(root, "/etc/goahead/route.txt", "/etc/route.txt", "/etc/goahead/routes.txt", "/var/www/route.txt")
    if not paths:
        return None
    bad = []
    for path in paths:
        for number, line in numbered(root, path) or ():
            computed = any(word in line for word in ("handler=cgi", "handler=action", "handler=jst", "/goform"))
            if line.startswith("route ") and computed and "auth=" not in line:
                bad.append(f"a form of {item.name} asks for no login ({path}:{number})")
    return bad


def _small(root: Root, item: Started) -> list[str] | None:
    found = {key: (value, where) for key, value, where in settings(root, *SMALL_FILES, sign="=")}
    given = arguments(root, item, item.name)
    pattern, where = found.get("cgipat", ("".join(options(given, "-c")[:1]), item.source))
    home = found.get("dir", ("".join(options(given, "-d")[:1]) or "/var/www", ""))[0]
    if not found and not given:
        return None
    folder = "/" + pattern.strip("/").partition("/")[0].strip("*")
    asks = any(exists(root, f"{home}{part}/.htpasswd") for part in ("", folder.rstrip("/")))
    return [f"cgi of {item.name} asks for no login ({where})"] if pattern and not asks else []


_READERS: dict[tuple[str, ...], Callable[[Root, Started], list[str] | None]] = {
    UHTTPD: _uhttpd,
    LIGHTTPD: _lighttpd,
    NGINX: _nginx,
    BOA: _boa,
    GOAHEAD: _goahead,
    SMALL: _small,
    BUSYBOX_HTTPD: _busybox,
}
