"""The client's judgement, one policy a file: given this request and this answer, what next?"""
