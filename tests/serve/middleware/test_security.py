"""Who may ask: with which token, from a page of which origin, by which name for the host."""

import socket
import time
from contextlib import ExitStack

import pytest
from servers import TOKEN, inside

from jaxgen_serve.settings import Settings

OPEN = {"/health", "/app/"}
GUARDED = ("/", "/ready", "/metrics", "/models", "/model-info", "/model-file", "/plan", "/gallery", "/docs",
           "/openapi.json", "/latent-map", "/stream", "/images/plane/1/0.png", "/nothing")  # fmt: skip


# --- token


@pytest.fixture(scope="module")
def stranger(strict):
    with strict.client(headers={}) as client:
        yield client


def test_only_life_the_page_and_logging_in_need_no_token(stranger, insider):
    for path in OPEN:
        assert stranger.get(path).status_code == 200, path
    for path in GUARDED:
        answer = stranger.get(path)
        assert answer.status_code == 401 and "token" in answer.json()["detail"], path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert insider.get(path).status_code != 401, path
    for path in ("/generate", "/generate-batch", "/interpolate", "/reconstruct", "/inpaint", "/models", "/gallery"):
        assert stranger.post(path).status_code == 401, path


@pytest.mark.parametrize(
    "value", ["Bearer", "", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \xff"]
)
def test_wrong_token_is_none(stranger, value):
    answer = stranger.get("/models", headers=[(b"authorization", value.encode("latin-1"))])
    assert answer.status_code == 401


def test_cookie_from_logging_in_opens_what_the_token_opens(strict):
    with strict.client(headers={}) as browser:
        assert browser.post("/login", json={"token": "open-says-me"}).status_code == 401
        assert browser.get("/models").status_code == 401
        answer = browser.post("/login", json={"token": TOKEN})
        cookie = answer.headers["set-cookie"]
        assert answer.status_code == 204 and TOKEN not in cookie
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        name = f"jaxgen-{strict.url.rpartition(':')[2]}"
        assert cookie.startswith(f"{name}=")
        assert browser.get("/models").status_code == 200
    for value in ("0" * 64, TOKEN):
        with strict.client(headers={"cookie": f"{name}={value}"}) as forger:
            assert forger.get("/models").status_code == 401


def test_two_servers_of_one_host_do_not_log_each_other_out(model_files, tmp_path):
    jar: dict[str, str] = {}  # as a browser has it: one cookie of a name for all ports of a host
    with ExitStack() as stack:
        clients = []
        for port in (8001, 8002):
            settings = Settings(data=tmp_path / str(port), token=f"{TOKEN}-{port}")
            clients.append(stack.enter_context(inside(settings, model_files["plane"], port=port)))
            jar |= dict(clients[-1].post("/login", json={"token": f"{TOKEN}-{port}"}).cookies)
            clients[-1].cookies.clear()
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        for client in clients:
            assert client.get("/models").status_code == 401
            assert client.get("/models", headers=sent).status_code == 200


def test_wrong_token_takes_its_time_and_the_right_one_does_not(strict):
    with strict.client(headers={}) as browser:
        for token in ("x", TOKEN[:-1], "x" * 1000):
            begin = time.monotonic()
            assert browser.post("/login", json={"token": token}).status_code == 401
            assert time.monotonic() - begin >= 0.3
        assert min(_seconds(lambda: browser.post("/login", json={"token": TOKEN})) for _ in range(3)) < 0.3


def _seconds(deed) -> float:
    begin = time.monotonic()
    deed()
    return time.monotonic() - begin


def test_login_takes_no_more_than_a_token_and_waits_for_none(server):
    with server.client() as browser:
        answer = browser.post("/login", json={"token": "x" * 5000})
        assert answer.status_code == 413 and "4096 bytes" in answer.json()["detail"]
        assert browser.post("/login", json={"token": "x" * 900}).status_code == 204  # this server has none
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{{"
        connection.sendall(head.encode())
        begin = time.monotonic()
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begin < 20  # of the 60 that others have


def test_browser_without_the_token_is_led_to_the_page_that_takes_it(stranger):
    answer = stranger.get("/docs", headers={"accept": "text/html"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/app/")


# --- origin and host


def test_page_of_another_site_may_send_no_request_and_a_friend_may(strict, insider):
    for origin in ("https://evil.example", "null", "https://friend.example.evil.example", "http://127.0.0.1:1"):
        for method, path in (
            ("POST", "/generate"), ("DELETE", "/gallery/1"), ("POST", "/login"),
            ("GET", "/models"), ("GET", "/stream"), ("GET", "/app/"), ("HEAD", "/"), ("GET", "/health"),
        ):  # fmt: skip
            answer = insider.request(method, path, headers={"origin": origin})
            assert answer.status_code == 403, (origin, path)
            assert "access-control-allow-origin" not in answer.headers
    for origin in (strict.url, "https://friend.example"):
        assert insider.post("/generate", headers={"origin": origin}).status_code == 200, origin
        assert insider.get("/models", headers={"origin": origin}).status_code == 200, origin


IMAGE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def test_image_in_the_page_of_another_site_samples_nothing(client):
    """What <img src=...> there sends has no Origin, and its answer would not matter: asking is the harm."""
    for path in ("/stream?num_images=64", "/latent-map?model=plane", "/model-file", "/app/", "/health", "/"):
        answer = client.get(path, headers=IMAGE)
        assert answer.status_code == 403 and "other sites" in answer.json()["detail"], path
        assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {**LINK, "accept": "text/html"}, 307),
        ("GET", "/app", LINK, 307),
        ("GET", "/app/", LINK, 200),
        ("GET", "/docs", LINK, 200),
        ("GET", "/images/nope/1/0.png", LINK, 404),
        ("GET", "/images/nope/1/0.png", IMAGE, 403),
        ("GET", "/app/", LINK | {"sec-fetch-dest": "iframe"}, 403),
        ("GET", "/app/", LINK | {"sec-fetch-mode": "cors"}, 403),
        ("POST", "/", LINK, 403),
        ("GET", "/stream?model=plane", LINK, 403),
        ("GET", "/model-file", LINK, 403),
        ("GET", "/models", IMAGE | {"sec-fetch-site": "same-origin"}, 200),
        ("GET", "/models", IMAGE | {"sec-fetch-site": "none"}, 200),
    ],
)
def test_link_of_another_site_leads_to_the_pages_alone(client, method, path, headers, status):
    assert client.request(method, path, headers=headers, follow_redirects=False).status_code == status


def test_friends_page_may_send_requests_across_sites_if_it_says_who_it_is(insider):
    sent = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
    friend = insider.get("/models", headers={**sent, "origin": "https://friend.example"})
    assert friend.status_code == 200
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    assert insider.get("/models", headers=sent).status_code == 403


def test_cors_names_the_friend_alone(insider):
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    friend = insider.options("/generate", headers={"origin": "https://friend.example", **ask})
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    assert "access-control-allow-credentials" not in friend.headers
    evil = insider.options("/generate", headers={"origin": "https://evil.example", **ask})
    assert "access-control-allow-origin" not in evil.headers


def test_cors_is_off_by_default(client):
    answer = client.get("/models", headers={"origin": "https://friend.example"})
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]"]
)
def test_another_name_for_this_machine_is_refused(client, host):
    answer = client.get("/health", headers={"host": host})
    assert answer.status_code == 403 and "not this server's name" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "LOCALHOST:80", "127.0.0.1", "[::1]:8000"])
def test_own_names_are_answered(client, host):
    assert client.get("/health", headers={"host": host}).status_code == 200


def test_every_answer_has_the_headers_that_browsers_go_by(client, insider):
    answers = [client.get("/models"), client.post("/generate"), client.get("/nothing"), client.get("/app/")]
    for answer in [*answers, client.get("/health", headers={"host": "evil.example"}), insider.get("/models")]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers
