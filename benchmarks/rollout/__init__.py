"""Rollouts: every service replaced one instance at a time behind a DNS server, while callers search."""
