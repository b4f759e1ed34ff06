"""Where web servers listen."""

from __future__ import annotations

from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started
from holdfast_probe.services.including import LIGHTTPD_FILES, own_files, spread_lines
from holdfast_probe.services.listen_common import Listener, Readers, arguments, at, joined, options, settings
from holdfast_probe.services.listen_daemons import DROPBEAR, SSHD
from holdfast_probe.services.texts import fitting, numbered, words
from holdfast_probe.services.uci import sections

UHTTPD = ("uhttpd",)
LIGHTTPD = ("lighttpd",)
NGINX = ("nginx",)
BUSYBOX_HTTPD = ("httpd", "busybox-httpd")
BOA = ("boa",)
GOAHEAD = ("goahead",)
SMALL = ("mini_httpd", "mini-httpd", "thttpd")
WEB_SERVERS = (*UHTTPD, *LIGHTTPD, *NGINX, *BUSYBOX_HTTPD, *BOA, *GOAHEAD, *SMALL)
MANAGEMENT = (*SSHD, *DROPBEAR, *WEB_SERVERS)
"""What administers a device over the network."""
NGINX_FILES = (
    "/etc/nginx/nginx.conf",
    "/etc/nginx/conf.d/*.conf",
    "/etc/nginx/sites-enabled/*",
    "/etc/nginx/http.d/*.conf",
)
SMALL_FILES = ("/etc/mini_httpd.conf", "/etc/mini-httpd.conf", "/etc/thttpd.conf", "/etc/thttpd/thttpd.conf")


def _uhttpd(root: Root, item: Started) -> list[Listener]:
    found = []
    for section in sections(root, "/etc/config/uhttpd"):
        if section.kind == "uhttpd":
            found += [at(item.name, "tcp", value, 80, section.where) for value in section.all("listen_http")]
            found += [at(item.name, "tcp", value, 443, section.where) for value in section.all("listen_https")]
    return found


def lighttpd_lines(root: Root, item: Started) -> list[tuple[str, str]]:
    """Place and text of lighttpd's settings, as `item` starts it. Raises `Unreadable`."""
    return spread_lines(root, LIGHTTPD_FILES, own_files(root, [item], LIGHTTPD_FILES))


def _lighttpd(root: Root, item: Started) -> list[Listener] | None:
    port, bind, where = "80", "", item.source
    found = []
    for place, line in lighttpd_lines(root, item):
        key, _, value = line.partition("=")
        plain = value.strip("= ").split("#")[0].strip().rstrip("{ ").strip('"')
        if key.strip() == "server.port":
            port, where = plain, place
        elif key.strip() == "server.bind":
            bind = plain
        elif line.startswith('$SERVER["socket"]'):
            found.append(at(item.name, "tcp", plain, 80, place))
        elif line.startswith("include_shell"):  # what it prints, only the running device could say
            return None
    return [at(item.name, "tcp", joined(bind, port), 80, where), *found]


def _nginx(root: Root, item: Started) -> list[Listener]:
    found = []
    for path in fitting(root, *NGINX_FILES):
        for number, line in numbered(root, path) or ():
            for statement in line.replace("{", ";").split(";"):
                parts = statement.split()
                if len(parts) > 1 and parts[0] == "listen" and not parts[1].startswith("unix:"):
                    kind = "udp" if {"udp", "quic"} & set(parts) else "tcp"
                    found.append(at(item.name, kind, parts[1], 80, f"{path}:{number}"))
    return found or [Listener(item.name, "tcp", 80, "", item.source)]


def _busybox_httpd(root: Root, item: Started) -> list[Listener]:
    written = options(arguments(root, item, "httpd"), "-p")
    return [at(item.name, "tcp", value, 80, item.source) for value in written or ["80"]]


def _boa(root: Root, item: Started) -> list[Listener]:
    found = {key.lower(): value for key, value, _ in settings(root, "/etc/boa/boa.conf", "/etc/boa.conf")}
    port, bind = found.get("port", "80"), found.get("listen", "")
    return [at(item.name, "tcp", joined(bind, port), 80, item.source)]


def _goahead(root: Root, item: Started) -> list[Listener] | None:
    written = [word for word in arguments(root, item, "goahead") if ":" in word or word.isdigit()]
    return [at(item.name, "tcp", word.rpartition("//")[2], 80, item.source) for word in written] or None


def _small(root: Root, item: Started) -> list[Listener]:
    found = {key: value for key, value, _ in settings(root, *SMALL_FILES, sign="=")}
    given = arguments(root, item, item.name)
    port = (options(given, "-p") or [found.get("port", "80")])[0]
    host = (options(given, "-h") or [found.get("host", "")])[0]
    return [at(item.name, "tcp", joined(host, port), 80, item.source)]


def _apache(root: Root, item: Started) -> list[Listener]:
    places = ("/etc/apache2/ports.conf", "/etc/apache2/httpd.conf", "/etc/httpd/conf/httpd.conf")
    written = [(value, where) for key, value, where in settings(root, *places) if key.lower() == "listen"]
    found = [at(item.name, "tcp", words(value)[0], 80, where) for value, where in written if words(value)]
    return found or [Listener(item.name, "tcp", 80, "", item.source)]


WEB: Readers = {
    UHTTPD: _uhttpd,
    LIGHTTPD: _lighttpd,
    NGINX: _nginx,
    BUSYBOX_HTTPD: _busybox_httpd,
    BOA: _boa,
    GOAHEAD: _goahead,
    SMALL: _small,
    ("apache2", "httpd2"): _apache,
}
