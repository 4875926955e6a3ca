<?php

/*
 * The cinema's website, served by `php -S 127.0.0.1:7000 -t public web.php`: the page, and the login, which gives out the tokens that app.py checks.
 */

declare(strict_types=1);

use function Cinema\token;

require __DIR__ . '/src/token.php';

$address = $_SERVER['REQUEST_URI'] ?? null;
$page = is_string($address) ? parse_url($address, PHP_URL_PATH) : '/';
$centrifugo = getenv('CINEMA_CENTRIFUGO') ?: '127.0.0.1:7001';

if ($page === '/') {
    header("Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ws://$centrifugo");
    header('Content-Type: text/html; charset=utf-8');
    header('Cache-Control: no-store');
    readfile(__DIR__ . '/public/index.html');

    return true;
}
if ($page !== '/login') {
    return false;
}

header('Content-Type: application/json');
$body = json_decode((string) file_get_contents('php://input'), true);
$name = is_array($body) && is_string($body['name'] ?? null) ? trim($body['name']) : '';
if ($_SERVER['REQUEST_METHOD'] !== 'POST' || preg_match('/^[\p{L}\p{M}\p{N} .\'-]{1,24}$/u', $name) !== 1) {
    http_response_code(400);
    echo json_encode(['error' => 'A name has 1 to 24 letters, digits and spaces.']);

    return true;
}
$user = bin2hex(random_bytes(6));
echo json_encode([
    'user' => $user,
    'name' => $name,
    'token' => token(['sub' => $user, 'name' => $name, 'exp' => time() + 12 * 3600]),
    'centrifugo' => "ws://$centrifugo/connection/websocket",
    'status' => 'http://' . (getenv('CINEMA_STATUS') ?: '127.0.0.1:7005') . '/',
], JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);

return true;
