"""python -m services.web: the page's wiring."""

from __future__ import annotations

from services.web.api import Api
from services.web.app import application
from services.web.gateway import Gateway
from services.web.serving import Site, serve
from services.web.settings import WebSettings
from services.web.uploads import Uploads
from vitrine.runtime import server, settings
from vitrine.runtime.channels import Credentials, internal_channel
from vitrine.runtime.metrics import CallMetrics


def build(chosen: WebSettings) -> Site:
    channel = internal_channel(chosen.gateway, Credentials.of(chosen.tls, chosen.token_file))
    gateway = Gateway(channel, chosen.index, chosen.timeout_s)
    uploads = Uploads(chosen.upload_bytes, chosen.uploads, chosen.upload_timeout_s)
    api = Api(gateway, uploads, chosen.ops)
    return Site(application(api.endpoints(), CallMetrics("web"), chosen.ops), gateway.not_ready, gateway.watch)


def start() -> int:
    chosen = settings.parse(WebSettings, "vitrine-web")
    return server.until_stopped(chosen, serve(chosen, lambda: build(chosen)), "web")


if __name__ == "__main__":
    server.main("web", start)
