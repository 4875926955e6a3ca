<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Causeway\App;
use Illuminate\Console\Command;
use Symfony\Component\Console\Output\OutputInterface;

/** Serves Centrifugo's events; the server starts it. */
final class WorkCommand extends Command
{
    /** @var string */
    protected $signature = 'centrifugo:work';

    /** @var string */
    protected $description = 'Serve events of Centrifugo, as a worker of Causeway or RoadRunner';

    public function handle(): int
    {
        if (getenv('RR_RELAY') === false) {
            $this->error('The server starts this command: server.command of .rr.yaml is "php artisan centrifugo:work".');

            return self::FAILURE;
        }
        // Standard output is the connection to the server.
        $this->output->setVerbosity(OutputInterface::VERBOSITY_QUIET);
        $this->laravel->make(App::class)->run();

        return self::SUCCESS;
    }
}
