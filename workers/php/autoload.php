<?php

/*
 * For use without Composer: loads this package, and Google's protobuf library from Debian's php-google-protobuf or anywhere else
 * on the include path, unless the protobuf extension is loaded.
 */

declare(strict_types=1);

if (is_file(__DIR__ . '/vendor/autoload.php')) {
    return require __DIR__ . '/vendor/autoload.php';
}

spl_autoload_register(static function (string $class): void {
    $roots = [
        'Causeway\\Proto\\' => __DIR__ . '/generated/',
        'Causeway\\Tests\\' => __DIR__ . '/tests/',
        'Causeway\\' => __DIR__ . '/src/',
        'Google\\Protobuf\\' => 'Google/Protobuf/',
        'GPBMetadata\\Google\\Protobuf\\' => 'GPBMetadata/Google/Protobuf/',
    ];
    foreach ($roots as $prefix => $folder) {
        if (str_starts_with($class, $prefix)) {
            $file = stream_resolve_include_path($folder . strtr(substr($class, strlen($prefix)), '\\', '/') . '.php');
            if ($file !== false) {
                require $file;
            }

            return;
        }
    }
});
