using StreamsHost.Commands;

return await HostCommand.Create().Parse(args).InvokeAsync();
