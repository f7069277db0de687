"""A router behind a real HTTP server, in the loop of the test, or called without one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from fastapi import APIRouter, FastAPI
from openai import AsyncOpenAI


def _app(router: APIRouter) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    return app


@asynccontextmanager
async def serving(router: APIRouter) -> AsyncIterator[str]:
    """The base URL of a server that has only these routes. It ends when every request is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(_app(router), log_config=None, lifespan="off"))
        running = asyncio.create_task(server.serve([listener]))
        try:
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def sdk(router: APIRouter) -> AsyncIterator[AsyncOpenAI]:
    """The official SDK in front of these routes; it repeats nothing."""
    async with serving(router) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


@asynccontextmanager
async def http(router: APIRouter) -> AsyncIterator[httpx2.AsyncClient]:
    """A plain client in front of these routes."""
    async with serving(router) as url, httpx2.AsyncClient(base_url=url, timeout=30) as client:
        yield client


@asynccontextmanager
async def direct(router: APIRouter) -> AsyncIterator[httpx2.AsyncClient]:
    """A plain client that calls these routes without a connection between."""
    transport = httpx2.ASGITransport(_app(router))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
