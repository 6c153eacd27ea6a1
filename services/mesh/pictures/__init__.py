"""Pictures whose bytes nobody vouches for.

Decoders read far more of a file than its pixels: profiles, comments, thumbnails, later frames. All of that
costs memory and time that the file decides upon, some of it before the picture's size is known. So each
format has a module whose `essence(data)` keeps what the first frame needs and refuses what declares too much;
`decoding` shows a decoder nothing else, within an amount of memory that all threads share.
"""
