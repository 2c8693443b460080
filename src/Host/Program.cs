using StreamsHost;
using StreamsHost.Commands;

HomeDirectory.Ensure();
return await CommandLine.RunAsync(args);
