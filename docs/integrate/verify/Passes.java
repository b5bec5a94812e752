// SPDX-License-Identifier: MIT
// Java 17: is this the pass of a buyer whose turn it is? Needs the JDK alone.

import java.net.URI;
import java.net.http.*;
import java.security.*;
import java.security.spec.X509EncodedKeySpec;
import java.time.Duration;
import java.util.*;
import java.util.regex.*;
import static java.nio.charset.StandardCharsets.UTF_8;

public class Passes {
    private static final String SPKI = "3059301306072a8648ce3d020106082a8648ce3d03010703420004"; // before a point of P-256
    private final String url, event; // https://tickets.example.com/.well-known/jwks.json, summer-2030
    private Map<String, PublicKey> keys = new HashMap<>();
    private long read = System.nanoTime() - 3_600_000_000_000L;
    public Passes(String url, String event) { this.url = url; this.event = event; }
    // tiketi writes its JSON without blanks, and a quote within a text has a backslash before it: so these are a member's quotes.
    static String member(String json, String name, String value) {
        Matcher found = Pattern.compile("[{,]\"" + name + "\":" + value + "[,}]").matcher(json);
        return found.find() ? found.group(1) : "";
    }
    static String text(String json, String name) { return member(json, name, "\"((?:[^\"\\\\]++|\\\\.)*+)\"").translateEscapes(); }
    private static byte[] decode(String part) { return Base64.getUrlDecoder().decode(part); }
    private static String hex(String key, String name) { return HexFormat.of().formatHex(decode(text(key, name))); }
    // The keys are kept for ten minutes; a name that is not among them is asked for once in 30 seconds.
    private synchronized PublicKey key(String kid) throws Exception {
        long age = (System.nanoTime() - read) / 1_000_000_000;
        if (age <= 30 || (age <= 600 && keys.containsKey(kid))) return keys.get(kid);
        var request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(3)).build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new java.io.IOException("no keys at " + url);
        keys = new HashMap<>();
        for (Matcher one = Pattern.compile("\\{[^{}]*\\}").matcher(answer.body()); one.find();) {
            var spki = new X509EncodedKeySpec(HexFormat.of().parseHex(SPKI + hex(one.group(), "x") + hex(one.group(), "y")));
            keys.put(text(one.group(), "kid"), KeyFactory.getInstance("EC").generatePublic(spki));
        }
        read = System.nanoTime();
        return keys.get(kid);
    }

    /** The claims of a pass as JSON, or null. Throws IOException while the keys cannot be fetched: answer 503, let nobody in. */
    public String claims(String token) throws Exception {
        String[] part = token.split("\\.", -1);
        try {
            String header = new String(decode(part[0]), UTF_8);
            PublicKey key = part.length == 3 && text(header, "alg").equals("ES256") ? key(text(header, "kid")) : null;
            var signature = Signature.getInstance("SHA256withECDSAinP1363Format");
            signature.initVerify(key);
            signature.update((part[0] + "." + part[1]).getBytes(UTF_8));
            if (!signature.verify(decode(part[2]))) return null;
            String claims = new String(decode(part[1]), UTF_8);
            boolean ours = text(claims, "iss").equals("tiketi") && text(claims, "aud").equals(event) && !text(claims, "sub").isEmpty();
            return ours && Long.parseLong(member(claims, "exp", "(\\d+)")) > System.currentTimeMillis() / 1000 ? claims : null;
        } catch (InvalidKeyException | SignatureException | IllegalArgumentException bad) {
            return null;
        }
    }
}
