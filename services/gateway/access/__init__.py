"""Who may do what: keys and tokens, scopes, rate limits and the audit log, the same for gRPC and HTTP.

A transport says who calls (`Gatekeeper.admit`, before it reads a body); `guard.guarded` then looks, around
every flow, whether that caller may do what is asked, and tells of writes in the audit log. A transport that
forgot to ask can reach nothing: without a caller the flows are closed, unless access is open to all.
"""
