<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** The server could not reach Centrifugo, or Centrifugo rejected the call. The code is gRPC's. */
final class GrpcException extends ServerException
{
    /** The names that grpc-go has for codes 0 and up: https://pkg.go.dev/google.golang.org/grpc/codes */
    private const CODES = [
        'OK', 'Canceled', 'Unknown', 'InvalidArgument', 'DeadlineExceeded', 'NotFound', 'AlreadyExists', 'PermissionDenied',
        'ResourceExhausted', 'FailedPrecondition', 'Aborted', 'OutOfRange', 'Unimplemented', 'Internal', 'Unavailable', 'DataLoss',
        'Unauthenticated',
    ];

    /** @param string $status the code's name, such as Unavailable */
    public function __construct(public readonly string $status, string $message)
    {
        $code = array_search($status, self::CODES, true);
        parent::__construct($message, $code === false ? 2 : $code);
    }
}
