# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
# Sourced behind lib.sh by the tests of QUIC: a real server of HTTP/3 over IPv4 (caddy), its page, key and
# certificate in $LAB/www.

quic_listens() {
	in_edge ss -Hlun "sport = 443" | grep -q "$SERVER4:443"
}

start_quic_server() {
	mkdir -p "$LAB/www/page"
	echo "<p>hello</p>" >"$LAB/www/page/index.html"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 -subj "/CN=$SNI" \
		-addext "subjectAltName=DNS:$SNI,DNS:localhost" -keyout "$LAB/www/key.pem" -out "$LAB/www/cert.pem" 2>/dev/null
	cat >"$LAB/www/Caddyfile" <<-END
		{
			admin off
			auto_https off
			default_sni $SNI
			skip_install_trust
		}
		https://$SNI:443, https://localhost:443 {
			bind $SERVER4
			tls $LAB/www/cert.pem $LAB/www/key.pem
			root * $LAB/www/page
			file_server
		}
	END
	spawn "$EDGE" env HOME="$LAB/www" XDG_DATA_HOME="$LAB/www" XDG_CONFIG_HOME="$LAB/www" \
		caddy run --config "$LAB/www/Caddyfile" --adapter caddyfile >"$LAB/www/log" 2>&1
	wait_until 15 quic_listens || fail "caddy does not listen: $(tail -n 3 "$LAB/www/log")"
}
