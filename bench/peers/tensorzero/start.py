"""Starts the gateway that the package `tensorzero` holds (Rust, in this process), says where it listens, and waits for a signal.

usage: start.py CONFIG
"""
import signal, sys
from tensorzero import _start_http_gateway

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
gateway = _start_http_gateway(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False)
print("ready", gateway.base_url, flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
gateway.close()
