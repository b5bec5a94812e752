-- SPDX-License-Identifier: MIT
-- wrk: sends WRK_METHOD WRK_PATH, each time with another header line: the next line of the file WRK_LINES,
-- which is read in a circle, or without that file the cookie of a new guest, set today. WRK_SALT makes the
-- guests of each run different; WRK_KEY is the key that seals guests' cookies, in hex.
local ffi = require('ffi')
local crypto = ffi.load('libcrypto.so.3') -- wrk is linked with it
ffi.cdef('const void *EVP_sha256(void); '
    .. 'unsigned char *HMAC(const void *md, const void *key, int key_len, const char *data, size_t len, unsigned char *out, unsigned *out_len);')
local key = (os.getenv('WRK_KEY') or ''):gsub('%x%x', function(pair) return string.char(tonumber(pair, 16)) end)
local mac, mac_len = ffi.new('unsigned char[32]'), ffi.new('unsigned[1]')
local digits = ffi.new('unsigned char[64]', 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')
local seal = ffi.new('unsigned char[22]')
local salt = tonumber(os.getenv('WRK_SALT') or '0')
local method = os.getenv('WRK_METHOD') or 'POST'
local path = os.getenv('WRK_PATH') or '/'
local head = string.format('%s %s HTTP/1.1\r\nHost: bench\r\n', method, path)
local tail = method == 'POST' and '\r\nContent-Length: 0\r\n\r\n' or '\r\n\r\n'
local day = math.floor(os.time() / 86400)
local lines, n = nil, 0

-- The value of the cookie: id, day, and base64url of 16 bytes of the MAC, as the service makes it.
local function sealed(id)
    local subject = string.format('%s.%d', id, day)
    local text = 'guest cookie:' .. subject
    crypto.HMAC(crypto.EVP_sha256(), key, #key, text, #text, mac, mac_len)
    mac[16], mac[17] = 0, 0
    for i = 0, 21 do
        local bit_at = 6 * i
        local byte = bit.rshift(bit_at, 3)
        local pair = bit.bor(bit.lshift(mac[byte], 8), mac[byte + 1])
        seal[i] = digits[bit.band(bit.rshift(pair, 10 - bit.band(bit_at, 7)), 63)]
    end
    return subject .. '.' .. ffi.string(seal, 22)
end

function init()
    local name = os.getenv('WRK_LINES')
    if name and name ~= '' then
        lines = {}
        for line in io.lines(name) do
            lines[#lines + 1] = line
        end
    end
end

function request()
    n = n + 1
    if lines then
        return head .. lines[n % #lines + 1] .. tail
    end
    return string.format('%sCookie: tiketi_guest=%s%s', head, sealed(string.format('g:%08x%024x', salt, n)), tail)
end

function done(summary)
    io.write(string.format('{"requests":%d,"us":%d,"errors":%d,"bad":%d}\n', summary.requests, summary.duration,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, summary.errors.status))
end
