<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** The bridge could not call Centrifugo, or Centrifugo refused the call. The code is gRPC's. */
final class GrpcException extends ServerException
{
    /** As grpc-go names its codes, from 0 on: https://pkg.go.dev/google.golang.org/grpc/codes */
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
