"""What the relay is measured against: the same libraries doing nothing but reading and answering, or passing on."""

import asyncio
import json
import sys

import uvloop
from aiohttp import ClientSession, TCPConnector, web


async def reads(request: web.Request) -> web.Response:
    """Read the body, answer 200."""
    await request.read()
    return web.Response(body=b'{"status":"ok"}', content_type="application/json")


def passes_on(url: str, headers: dict[str, str]) -> web.Application:
    """Read the body, post it on with a bare client, answer 200."""
    app = web.Application(client_max_size=8 * 1024 * 1024)
    sessions: list[ClientSession] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        async with sessions[0].post(url, data=body, headers=headers) as answer:
            await answer.read()
        return web.Response(body=b'{"status":"ok"}', content_type="application/json")

    async def connect(_: web.Application) -> None:
        sessions.append(ClientSession(connector=TCPConnector(limit=0)))

    async def disconnect(_: web.Application) -> None:
        await sessions[0].close()

    app.on_startup.append(connect)
    app.on_cleanup.append(disconnect)
    app.router.add_post("/webhooks/{storefront}", handler)
    return app


async def serve(url: str | None, headers: dict[str, str]) -> None:
    """Serve on a free port until killed; says where as ``serve --json`` does."""
    if url is None:
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/webhooks/{storefront}", reads)
    else:
        app = passes_on(url, headers)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(json.dumps({"public": f"http://{host}:{port}"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    options = json.load(sys.stdin)
    uvloop.run(serve(options.get("url"), options.get("headers", {})))
