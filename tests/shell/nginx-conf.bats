#!/usr/bin/env bats
# nginx-conf: the only place at which paths and ports get into the nginx files.

setup() {
  load helper
  out=${BATS_TEST_TMPDIR}/out
}

@test "every path and port is replaced" {
  run -0 nginx-conf --data-dir /srv/a --socket /srv/b.sock --http 10.0.0.1:81 --https '[::1]:82' \
    --certificate /srv/c.pem --key /srv/d.pem --log-dir /srv/e --out "${out}"
  directives=$(grep -rhv '^ *#' "${out}")
  run -1 grep -E '/var|/etc|/run|127\.0\.0\.1|808[01]' <<<"${directives}"
  for text in /srv/a/spool /srv/a/cache /srv/a/journal unix:/srv/b.sock 'listen 10.0.0.1:81' 'listen [::1]:82' \
    /srv/c.pem /srv/d.pem /srv/e/gridspool.log; do
    grep -rqF -- "${text}" "${out}"
  done
}

@test "the defaults are the files as they are, but for TLS" {
  run -0 nginx-conf --out "${out}"
  diff -r "${checkout}/nginx.conf.d/gridspool" "${out}/gridspool"
  diff "${checkout}/nginx.conf.d/gridspool.conf" "${out}/gridspool.conf"
  diff "${checkout}/nginx.conf.d/examples/site.conf" "${out}/examples/site.conf"
  [[ ! -e ${out}/examples/site-tls.conf ]]
}

@test "every site has a queue as long as the system allows, wherever it listens" {
  run -0 nginx-conf --http 10.0.0.1:81 --https 10.0.0.1:82 --certificate /c --key /k --out "${out}"
  ports=$(grep -rhE '^ *listen ' "${checkout}/nginx.conf.d/examples" "${out}/examples")
  [[ -n ${ports} ]]
  run -1 grep -vE ' backlog=65535;$' <<<"${ports}"
}

@test "a text that nginx would read as more than a path is refused" {
  for path in 'relative' '/a b' '/a;b' '/a{b' '/a}b' "/a'b" '/a"b' "/a\$b" '/a#b' '/a\b' $'/a\nb'; do
    run -78 nginx-conf --data-dir "${path}" --out "${out}"
    run -78 nginx-conf --socket "${path}" --out "${out}"
    run -78 nginx-conf --wrapper "${path}" --out "${out}"
  done
  for address in 80 :80 'a;b:80' '127.0.0.1:80 ssl' '127.0.0.1:' '127.0.0.1:http'; do
    run -78 nginx-conf --http "${address}" --out "${out}"
  done
  run -78 nginx-conf --user 'root; load_module x' --out "${out}"
  [[ ! -e ${out} ]]
}

@test "the addresses of other nodes are not counted, and nothing else gets in" {
  run -0 nginx-conf --peer 2=http://10.0.0.2:8080 --peer '65535=http://[::1]:81' --out "${out}"
  grep -qxF '10.0.0.2 1;' "${out}/gridspool/own-addresses.conf"
  [[ $(grep -cxF '::1 1;' "${out}/gridspool/own-addresses.conf") == 2 ]]
  rm -r -- "${out}"
  for peer in 2 2=10.0.0.2:80 2=https://a:80 0=http://a:80 '2=http://a:80; x' '2=http://a:80/x' \
    "2=http://\$host:80" 2=http://u@a:80; do
    run -78 nginx-conf --peer "${peer}" --out "${out}"
  done
  run -78 nginx-conf --peer 2=http://a:80 --peer 2=http://b:80 --out "${out}"
  run -64 nginx-conf --out "${out}" --peer
  [[ ! -e ${out} ]]
}

@test "origins are named to the letter, and localhost stands for all ports of this host" {
  long=https://$(printf 'a%.0s' {1..60}).example.com
  run -0 nginx-conf --origin https://app.example.com:8443 --origin 'http://[::1]' --origin "${long}" \
    --origin localhost --out "${out}"
  map=$(sed -n '/gridspool_origin {/,/}/p' "${out}/gridspool.conf")
  grep -qF '"~^https://app\.example\.com:8443$"' <<<"${map}"
  grep -qF '"~^http://\[::1\]$"' <<<"${map}"
  grep -qF "localhost|" <<<"${map}"
  run ! grep -qF "https://app.example.com;" <<<"${map}"
  rm -r -- "${out}"
  for origin in app.example.com '*' null https://a/ https://A.example 'https://a; x' 'https://a" x' https://u@a; do
    run -78 nginx-conf --origin "${origin}" --out "${out}"
  done
  run -64 nginx-conf --out "${out}" --origin
  [[ ! -e ${out} ]]
}

@test "a main file of the system is not overwritten" {
  mkdir -- "${out}"
  echo '# the system'"'"'s' >"${out}/nginx.conf"
  run -78 nginx-conf --wrapper "${BATS_TEST_TMPDIR}/run" --out "${out}"
  [[ $(<"${out}/nginx.conf") == "# the system's" ]]
}

@test "--https needs a certificate and a key, and each option its value" {
  run -64 nginx-conf --https 127.0.0.1:8081 --certificate /a.pem --out "${out}"
  run -64 nginx-conf --https 127.0.0.1:8081 --key /a.pem --out "${out}"
  run -64 nginx-conf --out
  run -64 nginx-conf
}
