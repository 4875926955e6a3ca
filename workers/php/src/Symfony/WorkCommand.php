<?php

declare(strict_types=1);

namespace Causeway\Symfony;

use Causeway\App;
use Symfony\Component\Console\Attribute\AsCommand;
use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Output\OutputInterface;

/** Serves Centrifugo's events; the server starts it. */
#[AsCommand('centrifugo:work', 'Serve events of Centrifugo, as a worker of Causeway or RoadRunner')]
final class WorkCommand extends Command
{
    public function __construct(private readonly App $app)
    {
        parent::__construct();
    }

    protected function execute(InputInterface $input, OutputInterface $output): int
    {
        if (getenv('RR_RELAY') === false) {
            $output->writeln('The server starts this command: server.command of .rr.yaml is "php bin/console centrifugo:work".');

            return self::FAILURE;
        }
        // Standard output is the connection to the server.
        $output->setVerbosity(OutputInterface::VERBOSITY_QUIET);
        $this->app->run();

        return self::SUCCESS;
    }
}
