using StreamsHost.Commands;

return await CommandLine.RunAsync(args);
