<?php

declare(strict_types=1);

namespace Cinema;

/**
 * A JSON Web Token, signed with the secret that the website shares with app.py.
 *
 * @param array<string, string|int> $claims
 */
function token(array $claims): string
{
    $encode = fn (string $bytes): string => rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    $signed = $encode('{"alg":"HS256","typ":"JWT"}') . '.' . $encode(json_encode($claims, JSON_THROW_ON_ERROR));

    return $signed . '.' . $encode(hash_hmac('sha256', $signed, getenv('CINEMA_SECRET') ?: 'change me', true));
}
