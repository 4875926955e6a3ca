<?php

/* What a PHP team would write instead of a bridge: Centrifugo's HTTP proxy behind php-fpm. */

declare(strict_types=1);

$request = json_decode((string) file_get_contents('php://input'), false, 512, JSON_THROW_ON_ERROR);
header('Content-Type: application/json');
echo json_encode(['result' => ['data' => $request->data]], JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
