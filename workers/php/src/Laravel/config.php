<?php

return [

    // Where `rpc.listen` of the server is. Workers need not say it: the server tells them.
    'rpc' => env('CENTRIFUGO_RPC'),

    // Seconds that a call of the server may take.
    'timeout' => 5.0,

    // The file with the handlers; by default routes/centrifugo.php.
    'routes' => null,

    // Handlers that are classes: by type of event those with a method `handle`, without a key those with attributes.
    'services' => [],

    // Interceptors by type of event, `*` for all.
    'interceptors' => [],

    // How messages are encoded, `proto` or `json`; by default what the server offers.
    'codec' => null,

    // Whether the worker says where in the code a slow request is.
    'backtrace' => false,

    // Whether the log shows requests that have failed, with the data of their clients.
    'debug' => (bool) env('CAUSEWAY_DEBUG', false),

];
