<?php
// SPDX-License-Identifier: MIT
//
// PHP 8: is this the pass of a buyer whose turn it is? Needs the openssl extension alone.
//
//   $passes = new Passes('https://tickets.example.com/.well-known/jwks.json', 'summer-2030', '/var/cache/shop/tiketi.json');
//   $buyer = $passes->buyer($_COOKIE['__Host-tiketi_pass_summer-2030'] ?? '');   // ['sub' =>, 'exp' =>, …] or null

class Passes
{
    // $cache: a file that only the shop may write. Keys stay there for ten minutes; an unknown name is asked for once in 30 s.
    public function __construct(private string $url, private string $event, private string $cache) {}

    private function keys(?string $kid): array
    {
        clearstatcache();
        $age = is_file($this->cache) ? time() - filemtime($this->cache) : PHP_INT_MAX;
        $keys = $age > 600 ? [] : array_column(json_decode(file_get_contents($this->cache), true)['keys'], null, 'kid');
        if (!isset($keys[$kid]) && $age > 30) {
            $text = @file_get_contents($this->url, false, stream_context_create(['http' => ['timeout' => 3]]));
            $set = json_decode($text ?: '', true)['keys'] ?? throw new RuntimeException("no keys at $this->url"); // answer 503, let nobody in
            file_put_contents($new = $this->cache . getmypid(), $text);
            rename($new, $this->cache);
            $keys = array_column($set, null, 'kid');
        }
        return $keys;
    }

    private static function decode(string $part): string
    {
        return base64_decode(strtr($part, '-_', '+/'), true) ?: '';
    }

    private static function der(string $half): string // an INTEGER of ASN.1
    {
        $number = (ord(ltrim($half, "\0") ?: "\xff") > 127 ? "\0" : '') . ltrim($half, "\0");
        return "\x02" . chr(strlen($number)) . $number;
    }

    public function buyer(string $token): ?array
    {
        if (!preg_match('/^([\w-]+)\.([\w-]+)\.([\w-]{86})$/D', $token, $part)) return null;
        $header = json_decode(self::decode($part[1]), true);
        if (($header['alg'] ?? '') !== 'ES256' || !is_string($header['kid'] ?? null)) return null;
        $key = $this->keys($header['kid'])[$header['kid']] ?? null;
        if (($key['crv'] ?? '') !== 'P-256') return null;
        $spki = hex2bin('3059301306072a8648ce3d020106082a8648ce3d030107034200') . "\4" . self::decode($key['x']) . self::decode($key['y']);
        $pem = "-----BEGIN PUBLIC KEY-----\n" . base64_encode($spki) . "\n-----END PUBLIC KEY-----";
        $pair = implode(array_map(self::der(...), str_split(self::decode($part[3]), 32)));
        if (openssl_verify("$part[1].$part[2]", "\x30" . chr(strlen($pair)) . $pair, $pem, OPENSSL_ALGO_SHA256) !== 1) return null;
        $claims = json_decode(self::decode($part[2]), true);
        $ok = ($claims['iss'] ?? '') === 'tiketi' && ($claims['aud'] ?? '') === $this->event && is_string($claims['sub'] ?? null);
        return $ok && is_int($claims['exp'] ?? null) && $claims['exp'] > time() ? $claims : null;
    }
}
