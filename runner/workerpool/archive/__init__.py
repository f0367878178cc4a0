"""The ready-made worker ``s3-archive``: each message of a queue becomes an object in an S3 server.

A message is acknowledged only after the server has confirmed that it holds the very bytes. A storage that is away or
refuses the keys costs no message an attempt: the jobs wait, and go back to the queue as they were.
"""
