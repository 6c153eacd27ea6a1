"""The JSON bodies: the messages of the protos in proto3 JSON, with the protos' snake_case field names.

As proto3 JSON has it, bytes are base64, 64-bit integers are strings (numbers are read too), durations are
written like `2.5s`, times like `2026-03-01T12:00:00Z`, field masks like `title,attributes.colour` and enums
are the names of their values. A model of a request dumps to what its proto's constructor takes.

Lists stop at their first wrong item, and have limits: what is wrong with a million items is nothing that
anybody would read.
"""
