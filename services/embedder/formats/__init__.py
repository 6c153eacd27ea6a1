"""Encoded pictures before anything is decoded: one module a format, each with `essence(data)`.

Decoders read far more of a file than its pixels: profiles, comments, thumbnails, later frames. All of that
costs memory and time that the file decides upon, some of it before the picture's size is known. So each
format's own walk keeps what the first frame needs, refuses what declares too much, and the decoder sees
nothing else.
"""
