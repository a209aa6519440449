"""The front of every Q-Face service: the V2 gRPC protocol, before one Triton or several.

It owns what Triton does not do or does fatally: admission, validation, isolation from clients that leave,
repair, drain, hot swap, true health, metrics, identity. `python -m deploy.gateway --help` is the command.
"""
