# SPDX-License-Identifier: MIT
"""Python: is this the pass of a buyer whose turn it is? Needs PyJWT and cryptography (Debian: python3-jwt, python3-cryptography).

    passes = Passes("https://tickets.example.com/.well-known/jwks.json", "summer-2030")
    buyer = passes.buyer(request.cookies.get("__Host-tiketi_pass_summer-2030"))   # {"sub", "exp", …} or None
"""
import json
import time
import urllib.request

import jwt


class Passes:
    """The keys are kept for ten minutes; a name that is not among them is asked for once in 30 seconds."""

    def __init__(self, url, event):
        self.url, self.event = url, event
        self.keys, self.read = {}, float("-inf")

    def key(self, kid):
        age = time.monotonic() - self.read
        if age > 600 or (kid not in self.keys and age > 30):
            with urllib.request.urlopen(self.url, timeout=3) as answer:
                found = json.load(answer)["keys"]
            self.keys = {one["kid"]: jwt.PyJWK(one).key for one in found if one.get("kty") == "EC"}
            self.read = time.monotonic()
        return self.keys.get(kid)

    def buyer(self, token):
        """Raises OSError while the keys cannot be fetched: answer 503 then, and let nobody in."""
        try:
            key = self.key(jwt.get_unverified_header(token or "").get("kid"))
            if key is None:
                return None
            # Not `iat`: it may be ahead of this machine's clock.
            return jwt.decode(token, key, algorithms=["ES256"], issuer="tiketi", audience=self.event,
                              options={"require": ["sub", "exp", "aud", "iss"], "verify_iat": False})
        except jwt.InvalidTokenError:
            return None
